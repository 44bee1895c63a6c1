"""Keys of `modality.source` for text: where the real documents come from. Read without torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator

from imglab.config.section import PathName, Section, Seed, choice, newer_key


class PydocSource(Section):
    """The language reference inside CPython (`pydoc_data.topics`): about 80 documents, 460 kB.

    The text, and with it its hash, depends on the version of Python.
    """

    kind: Literal["pydoc"] = "pydoc"


class EncyclopaediaSource(Section):
    """A generated encyclopaedia: short articles on places, buildings, people and animals.

    All of them are invented from a seed, so each statement of a text can be checked, and the text
    is the work of nobody else. Some things have many articles and many have few (Zipf's law).
    """

    kind: Literal["encyclopaedia"] = "encyclopaedia"
    things: Annotated[int, Field(ge=12, le=4000)] = 120
    """How many places, buildings, people and animals there are, in equal parts."""
    articles: Annotated[int, Field(ge=24, le=1_000_000)] = 1500
    """How many articles there are; each thing has at least one."""
    zipf: Annotated[float, Field(ge=0, le=3)] = 1.0
    """Exponent of Zipf's law: the thing of rank r has articles in proportion to r^-zipf."""
    seed: Seed = 0
    """Seed of the things, of what is true of them, and of the articles."""

    @model_validator(mode="after")
    def _all_have_articles(self) -> EncyclopaediaSource:
        if self.articles < self.things:
            raise ValueError(
                f"{self.articles} articles are fewer than the {self.things} things: each has one"
            )
        return self


class _Documents(Section):
    document_start: Annotated[str, Field(max_length=100)] | None = None
    """Regular expression: each line that it matches begins a new document, e.g. `^ = [^=]+ = $`
    for WikiText. Default: each file, or each row of a corpus, is a document."""
    leave_out: Annotated[str, Field(max_length=100)] | None = newer_key(None)
    """Regular expression: sentences in which it matches are left out, e.g. `<unk>` for the form of
    WikiText in which rare words are replaced."""


class FilesSource(_Documents):
    """Text files in UTF-8: plain ones, and JSON lines, CSV or parquet with a text in each row.

    In a plain file `<|endoftext|>` parts documents. Files may be compressed by gzip.
    """

    kind: Literal["files"] = "files"
    path: PathName
    """Path of a text file, or of a folder with `.txt` files, files of rows, or else `.md` files."""
    test_path: PathName | None = None
    """Path of the test text, in the same form. Default: the test part of `path`, or whole documents
    of it."""
    column: str | None = newer_key(None)
    """Column that holds the text, in files of rows. Default: `text`, or the obvious one."""
    splits: Literal["auto", "none"] = newer_key("auto")
    """Whether folders or files named after splits (train, test, val and the like) are the parts
    (`auto`), or are read like all others (`none`)."""


class HubSource(_Documents):
    """A corpus of the Hugging Face hub, or a local folder in its form, through `datasets`.

    This requires the extra `hub`.
    """

    kind: Literal["hub"] = "hub"
    name: PathName
    """Name on the Hugging Face hub, or path of a local folder."""
    subset: str | None = None
    """Configuration of the corpus, e.g. `wikitext-2-raw-v1`."""
    column: str = "text"
    """Column that holds the text."""
    train_split: str = "train"
    """Name of the training split."""
    test_split: str | None = "test"
    """Name of the test split. `null`: whole documents of the training split are held out."""
    revision: str | None = None
    """Branch, tag or commit on the hub; default: `main`."""


if TYPE_CHECKING:
    Source = PydocSource | EncyclopaediaSource | FilesSource | HubSource
else:
    Source = choice(PydocSource, EncyclopaediaSource, FilesSource, HubSource)
