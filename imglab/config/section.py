"""The form that every section of a config has. It is read without torch."""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
)

from imglab.config.paths import expand_home

LONGEST_PATH = 4095
"""Bytes of a path; operating systems refuse longer ones."""
LONGEST_NAME = 255
"""Bytes of one name in a path; operating systems refuse longer ones."""
MOST_NUMBERS = 2 * 10**8
"""How many numbers of real data may be drawn at once; all of them are in memory."""


def _can_be_a_path(text: str) -> str:
    text = expand_home(text)
    if "\0" in text or len(text.encode()) > LONGEST_PATH:
        what = f"cannot be a path: a path has no zero byte and at most {LONGEST_PATH} bytes"
        raise ValueError(what)
    if any(len(name.encode()) > LONGEST_NAME for name in text.split("/")):
        raise ValueError(f"cannot be a path: a name in it has at most {LONGEST_NAME} bytes")
    return text


FILE_NAME = r"^[^./\\\p{C}][^/\\\p{C}]*$"
PLUG_IN_NAME = r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$"
FORMS = {
    FILE_NAME: "must be a file name without slashes and control characters that does not "
    "begin with a dot",
    PLUG_IN_NAME: "must be `module:Class` or `module:function`",
}
"""What patterns ask for, in words."""

PathName = Annotated[str, Field(min_length=1), AfterValidator(_can_be_a_path)]
"""A path, or a name on the hub, which may be one."""
Count = Annotated[int, Field(ge=1, le=10**12)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]
BatchSize = Annotated[int, Field(ge=1, le=65_536)]
LearningRate = Annotated[float, Field(gt=0, le=1)]


class Section(BaseModel):
    """A section whose keys must be known, of the right type and finite, and never change."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, allow_inf_nan=False, protected_namespaces=()
    )


def newer_key(default: Any) -> Any:
    """Return the field of a key that older configs lack.

    At its default it is not written into a resolved config, whose hash is then the one of old.
    """
    return Field(default=default, exclude_if=lambda value: value == default)


class TrainingPlan(Section):
    """How long and how fast a network is fitted; a modality's plan adds the budget in its unit."""

    epochs: Annotated[float, Field(gt=0, le=10**6)] | None = None
    """Budget in passes over the training set, which replaces the budget in samples: a regime with a
    larger training set then trains longer."""
    batch: BatchSize
    """How many samples a training step sees."""
    learning_rate: LearningRate
    """The highest learning rate of the schedule; it is reached after the first 5% of the steps."""
    decay: Literal["cosine", "linear", "none"] = "cosine"
    """Learning-rate schedule after the warm-up: `cosine` falls to a tenth along half a cosine,
    `linear` falls to zero along a line, `none` stays at the highest rate."""
    optimizer: Literal["adamw", "muon"] = newer_key("adamw")
    """What takes the steps: AdamW for all weights, or Muon for the matrices of hidden layers and
    AdamW for the rest. Both take the same learning rate."""


class LoraSettings(Section):
    """Train low-rank adapters in place of all weights, and merge them when the fit ends.

    Hu et al. 2021. Needs the extra `lora`. It applies only to fits that start from a model: new
    weights are trained as a whole.
    """

    rank: Annotated[int, Field(ge=1, le=4096)] = 8
    """Rank of each adapter."""
    alpha: Annotated[float, Field(gt=0, le=10**6)] = 16.0
    """Scale of the adapters: their output is multiplied by alpha / rank."""
    targets: Annotated[list[str], Field(min_length=1)] | Literal["all-linear"] = "all-linear"
    """Names of the layers that get an adapter; `all-linear` stands for all linear ones."""


WATERMARK_KEY = 15_485_863


class PlugIn(BaseModel):
    """A section whose `kind` is `module:Class`: its keys go to that class, which checks them."""

    model_config = ConfigDict(extra="allow", strict=True, frozen=True, protected_namespaces=())

    kind: Annotated[str, Field(pattern=PLUG_IN_NAME)]
    """What to import: `module:Class`, or `module:function` for a regime or a curator."""

    @property
    def keys(self) -> dict[str, Any]:
        """All keys except `kind`."""
        return dict(self.__pydantic_extra__ or {})


AUTO = "auto"


def auto_keys(section: BaseModel) -> list[str]:
    """Return the keys of a section that are left to a measurement."""
    return [key for key in type(section).model_fields if getattr(section, key) == AUTO]


def is_plug_in(kind: object) -> bool:
    """Say whether a `kind` names a class by `module:Class`."""
    return isinstance(kind, str) and ":" in kind


def spell_out(value: Any) -> Any:
    """Let `replace` stand for `{kind: replace}`."""
    if isinstance(value, str):
        return {"kind": value}
    return value


def kind_of(value: Any) -> str:
    """Return which section of a choice a value is meant for."""
    kind = value.get("kind", "") if isinstance(value, dict) else getattr(value, "kind", "")
    if is_plug_in(kind):
        return "module:Class"
    return str(kind)


def choice(*sections: type[Section], plug_in: bool = False) -> Any:
    """Return the type of a key that holds one of these sections, told apart by their `kind`.

    In a config the kind may stand alone, as a word. A kind with several names is a Literal of all.

    plug_in  whether the key may also name a class or function of another package
    """
    options = [
        Annotated[section, Tag(name)]
        for section in sections
        for name in get_args(section.model_fields["kind"].annotation)
    ]
    if plug_in:
        options.append(Annotated[PlugIn, Tag("module:Class")])

    union = options[0]
    for option in options[1:]:
        union = union | option
    return Annotated[union, Discriminator(kind_of), BeforeValidator(spell_out)]
