"""What a user of `imglab score` may choose. No torch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pydantic import ValidationError

from imglab.config.problems import problems_of
from imglab.config.section import Section
from imglab.errors import InputError, Problem, nearest
from imglab.images.settings import ImageSettings
from imglab.text.settings import TextSettings

T = TypeVar("T", bound=Section)

KEYS_OF_NAMES = {"classifier": "network", "inception": "weights"}
"""The key that KIND:name sets, for kinds whose key is not `name`."""


SELF_SUPERVISED_IMAGES = 16_000
"""Images that a self-supervised extractor sees: on one core 61 s for 64 x 64 pixels in colour."""


COLOURS = ("keep", "grey", "rgb")
PARTS = ("train", "test")


@dataclass(frozen=True)
class ReadingOptions:
    """How samples are read and compared, which a stored reference keeps; None: the default.

    extractor  KIND or KIND:name, or module:Class
    size       side in pixels to which images are resized
    colour     to which images are converted, one of `COLOURS`
    column     of a table, that holds the texts or images
    block      tokens of a text sample
    """

    extractor: str | None = None
    size: int | None = None
    colour: str = "keep"
    column: str | None = None
    block: int | None = None

    def __post_init__(self) -> None:
        _check_word("--colour", self.colour, COLOURS)

    @property
    def names(self) -> list[str]:
        """Name the options that are set."""
        values = {
            "--extractor": self.extractor,
            "--size": self.size,
            "--column": self.column,
            "--block": self.block,
        }
        chosen = [name for name, value in values.items() if value is not None]
        if self.colour != "keep":
            chosen.append("--colour")
        return chosen


@dataclass(frozen=True)
class Options:
    """The options of a comparison; None: the default.

    samples     synthetic samples that are scored
    split       part of the real data that is compared with, one of `PARTS`
    batch_size  samples whose features are taken at a time
    reference   name under which the real side is kept
    """

    of_reading: ReadingOptions = field(default_factory=ReadingOptions)
    samples: int | None = None
    split: str = "test"
    batch_size: int | None = None
    reference: str | None = None

    def __post_init__(self) -> None:
        _check_word("--split", self.split, PARTS)


def image_settings(
    options: ReadingOptions, classes: int, *, n_test: int | None, source: str
) -> ImageSettings:
    """Return the section of a config that says how real images are split and compared."""
    tree: dict[str, Any] = {"source": {"kind": "folder", "path": source}, "n_test": n_test}
    tree.update(size=options.size, colour=options.colour)
    extractor = default_image_extractor(classes)
    if options.extractor is not None:
        extractor = _extractor(options.extractor, ImageSettings)
    if extractor is not None:
        tree["extractor"] = extractor
    return validated(ImageSettings, tree)


def default_image_extractor(classes: int) -> dict[str, Any] | None:
    """Return the extractor's section for images of so many classes; None: the settings' default.

    A classifier needs two classes to learn from. Without them a small network learns from the
    images alone, in a budget that takes about a minute.
    """
    if classes >= 2:
        return None
    return {"kind": "self_supervised", "images": SELF_SUPERVISED_IMAGES}


def text_settings(options: ReadingOptions, *, source: str) -> TextSettings:
    """Return the section of a config that says how real text is split and compared."""
    tree: dict[str, Any] = {"source": {"kind": "files", "path": source}, "test_share": 0.5}
    if options.block is not None:
        tree["block"] = options.block
    if options.extractor is not None:
        tree["extractor"] = _extractor(options.extractor, TextSettings)
    return validated(TextSettings, tree)


def _extractor(text: str, settings: type[Section]) -> dict[str, Any]:
    """Return the section that KIND, KIND:name or module:Class stands for."""
    kind, _, name = text.partition(":")
    kinds = list(_kinds(settings))
    if kind not in kinds and ("." in kind or not name):
        return {"kind": text}
    if kind not in kinds:
        raise InputError(Problem("--extractor", f"there is no {kind!r}", nearest(kind, kinds)))

    if not name:
        return {"kind": kind}
    return {"kind": kind, KEYS_OF_NAMES.get(kind, "name"): name}


def _kinds(settings: type[Section]) -> Iterator[str]:
    """Yield the kinds of extractors that a modality's settings allow."""
    schema = settings.model_json_schema()
    definitions = schema["$defs"]
    choices = [schema["properties"]["extractor"]]
    for choice in choices:
        # A key that may be left out holds its choice within another one.
        choices += [*choice.get("oneOf", ()), *choice.get("anyOf", ())]
        section = definitions.get(choice.get("$ref", "").rpartition("/")[2], {})
        kind = section.get("properties", {}).get("kind", {}).get("const")
        if kind is not None:
            yield kind


def validated(settings: type[T], tree: dict[str, Any]) -> T:
    """Validate a section; InputError names options in the place of keys."""
    try:
        return settings.model_validate(tree)
    except ValidationError as error:
        problems = problems_of("score", tree, settings, error)
        raise InputError(as_options(problems)) from error


def as_options(problems: Iterable[Problem], source: str = "REAL") -> list[Problem]:
    """Name the command's options where problems of a config name its keys.

    source  what stands for the config's source
    """
    return [
        Problem(*(in_options(text, source) for text in (each.where, each.what, each.remedy)))
        for each in problems
    ]


def in_options(text: str, source: str = "REAL") -> str:
    """Name the command's options where a text of a config names its keys; as for `as_options`."""
    words = {
        "set modality.source.splits to none to make them classes": "give one part",
        "set modality.source.splits to none to read all as one": "give one part",
        "set modality.source.splits to none": "give one part",
        "score: ": "--",
        "modality.source.path": source,
        "modality.source.column": "--column",
        "modality.source": source,
        "modality.extractor": "--extractor",
        "modality.size": "--size",
        "modality.colour": "--colour",
        "modality.block": "--block",
        "modality.n_test": "--samples",
        "give test_path, or document_start to say where documents begin": (
            "give a folder of files, JSON lines or a table with a text in each row"
        ),
    }

    for key, word in words.items():
        text = text.replace(key, word)
    return text


def _check_word(option: str, word: str, words: Sequence[str]) -> None:
    """Raise InputError, which names the nearest word, unless a word is one of these."""
    if word not in words:
        raise InputError(Problem(option, f"{word!r} is not valid", nearest(word, words)))
