"""The form that every section of a config has. Read without torch."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
)

LONGEST_PATH, LONGEST_NAME = 4095, 255
"""Bytes; longer ones, systems refuse."""
MOST_NUMBERS = 2 * 10**8
"""Of real data that are drawn at once, all in memory."""


def _can_be_a_path(text: str) -> str:
    if "\0" in text or len(text.encode()) > LONGEST_PATH:
        raise ValueError(
            f"cannot be a path: that has no zero byte and at most {LONGEST_PATH} bytes"
        )
    if any(len(name.encode()) > LONGEST_NAME for name in text.split("/")):
        raise ValueError(f"cannot be a path: a name in it has at most {LONGEST_NAME} bytes")
    return text


PathName = Annotated[str, Field(min_length=1), AfterValidator(_can_be_a_path)]
"""A path, or a name on the hub, which may be one."""
Count = Annotated[int, Field(ge=1, le=10**12)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]
BatchSize = Annotated[int, Field(ge=1, le=65_536)]
LearningRate = Annotated[float, Field(gt=0, le=1)]


class Section(BaseModel):
    """Keys that must be known, of the right type and finite, and that do not change afterwards."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, allow_inf_nan=False, protected_namespaces=()
    )


class TrainingPlan(Section):
    """How long and how fast a network is fitted; a modality's own plan adds the budget in its unit."""

    epochs: Annotated[float, Field(gt=0, le=10**6)] | None = None
    """Budget in passes over the training set instead: a regime with a larger set then trains longer."""
    batch: BatchSize
    learning_rate: LearningRate
    decay: Literal["cosine", "none"] = "cosine"
    """The learning rate falls to a tenth along half a cosine, or stays; it rises over the first 5% of steps."""


class LoraSettings(Section):
    """Train adapters of low rank in place of all weights (Hu et al. 2021), merged when the fit ends; extra `lora`.

    Only in fits that start from a model: new weights are trained whole.
    """

    rank: Annotated[int, Field(ge=1, le=4096)] = 8
    alpha: Annotated[float, Field(gt=0, le=10**6)] = 16.0
    targets: Annotated[list[str], Field(min_length=1)] | Literal["all-linear"] = "all-linear"
    """Names of the layers that get one."""


WATERMARK_KEY = 15_485_863


class PlugIn(BaseModel):
    """A section whose `kind` is `module:Class`: its keys go to that class, which alone can check them."""

    model_config = ConfigDict(extra="allow", strict=True, frozen=True, protected_namespaces=())

    kind: Annotated[str, Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")]

    @property
    def keys(self) -> dict[str, Any]:
        """All keys but `kind`."""
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
    return {"kind": value} if isinstance(value, str) else value


def kind_of(value: Any) -> str:
    """Tell which section of a choice a value is meant for."""
    kind = value.get("kind", "") if isinstance(value, dict) else getattr(value, "kind", "")
    return "module:Class" if is_plug_in(kind) else str(kind)


def choice(*sections: type[Section], plug_in: bool = False) -> Any:
    """Return the type of a key that holds one of these sections, told apart by `kind`, which may stand alone."""
    options = [
        Annotated[section, Tag(section.model_fields["kind"].default)] for section in sections
    ]
    if plug_in:
        options.append(Annotated[PlugIn, Tag("module:Class")])
    union = options[0]
    for option in options[1:]:
        union = union | option
    return Annotated[union, Discriminator(kind_of), BeforeValidator(spell_out)]
