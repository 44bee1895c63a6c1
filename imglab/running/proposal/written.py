"""The text of a proposed config: what asks, what was found and chosen, and a comment at a key."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from textwrap import wrap

from imglab.config.yaml import dump_yaml
from imglab.errors import InputError, Problem
from imglab.safe_text import one_line

WIDTH = 100
KEY = re.compile(r"^( *)([A-Za-z_]+):")

COMMENTS = {
    "generations": "generation 0 learns from your data, each later one from the one before",
    "samples": "how many a generation draws; by default as many as there are real ones",
    "start": "previous: go on from the last model's weights; scratch: from new ones",
    "regime": "the next training set: replace, accumulate, mix ... (`imglab list`)",
    "chains": "run one after the other; with --workers 2 at the same time",
    "modality.size": "pixels a side, cropped to a square; a larger side needs more time",
    "modality.extractor": "what turns samples into the features that metrics compare",
    "modality.n_train": "blocks to train on; leave it out to use all",
    "modality.tokenizer": "trained on your text",
    "modality.block": "tokens of a sample, and of the prompt that it continues",
    "modality.token_budget": "tokens on which distinct-n and the like are measured",
    "model.class_conditional": "learn and draw by class",
    "model.patch": "side of the squares of pixels that become channels",
    "model.channels": "twice as wide takes about four times as long",
    "model.flip": "mirror half of the training images; false where left and right differ",
    "model.training": "of generation 0; the first thing to raise where its gate fails",
    "model.fine_tuning": "of each later generation",
    "model.network": "more layers and width need more text, and more time",
    "model.precision": "fp32 where bf16 is slow",
}


def name_of(data: str) -> str:
    """Return a name for a config, made of that of the data.

    >>> [name_of("my photos/"), name_of("a.jsonl"), name_of("2024"), name_of("owner/name")]
    ['my_photos', 'a', 'data_2024', 'name']
    """
    name = re.sub(r"[^A-Za-z0-9_-]", "_", Path(data).resolve().name.partition(".")[0])
    if not name[:1].isalpha():
        name = f"data_{name.lstrip('_')}"
    return name[:64]


def config_text(tree: Mapping[str, object], heading: Sequence[tuple[str, str]]) -> str:
    """Return the text of a config.

    heading  what stands above it: a title of one word, and its text
    """
    lines: list[str] = []
    for title, text in heading:
        first, *rest = wrap(one_line(text), WIDTH - 13, break_long_words=False) or [""]
        lines.append(f"# {title:11}{first}")
        lines += [f"#            {line}" for line in rest]
    return "\n".join([*lines, *_commented(dump_yaml(tree))]) + "\n"


def _commented(text: str) -> Iterator[str]:
    """Yield the lines of a YAML text, with a comment at the keys that have one."""
    path: list[str] = []
    for line in text.splitlines():
        key = KEY.match(line)
        if key is None:
            yield line
            continue

        depth = len(key[1]) // 2
        path = [*path[:depth], key[2]]
        comment = COMMENTS.get(".".join(path))
        if comment is None:
            yield line
        else:
            yield f"{line:30}  # {comment}"


def check_free(path: Path) -> None:
    """Raise InputError where a file exists already, or cannot be written."""
    if path.exists() or path.is_symlink():
        what = "exists already, and nothing is overwritten"
        raise InputError(Problem(str(path), what, "choose another one, e.g. --out mine.yaml"))
    if not path.parent.is_dir():
        raise InputError(Problem(str(path), "there is no such folder", "make it, or name another"))


def write_new(path: Path, text: str) -> None:
    """Write a file that does not exist yet."""
    check_free(path)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        check_free(path)
        raise
