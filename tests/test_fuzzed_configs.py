"""Configs of anybody's: whatever is in one, it is judged in a moment, in words, and nothing of it
is run.
"""

from __future__ import annotations

import copy
import datetime
import json
import os
import random
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imglab.config.load import dump_config, load_config, plug_ins, validate_config
from imglab.config.merge import merged
from imglab.config.schema import RunConfig
from imglab.config.sections import CURATIONS, REGIMES
from imglab.config.yaml import MAX_BYTES, MAX_VALUES, dump_yaml, parse_yaml
from imglab.errors import InputError
from imglab.safe_text import printable
from imglab.studies.sweeps.config import SweepConfig, load_sweep
from tests.conftest import ROOT
from tests.test_run_directory import TINY_CHAIN, TINY_GAUSSIAN, TINY_IMAGE, TINY_MIXED, write

LONGEST_MESSAGE = 20_000
MOST_PROBLEMS = 500


def counts(quick: int, many: int):
    """Few examples by default, all with `-m slow`."""
    return pytest.mark.parametrize("examples", [quick, pytest.param(many, marks=pytest.mark.slow)])


def fuzz(examples: int, strategy, check) -> None:
    """Call `check` with so many values of a strategy, the same ones each time."""

    def of_one(value):
        check(value)

    given(strategy)(
        settings(
            max_examples=examples,
            derandomize=True,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        )(of_one)
    )()


def told(error: InputError) -> list[str]:
    """Return the problems as they are printed, having checked that they can be read."""
    messages = [printable(str(problem)) for problem in error.problems]
    assert 0 < len(messages) <= MOST_PROBLEMS
    for problem, message in zip(error.problems, messages, strict=True):
        assert problem.where
        assert problem.what
        assert len(message) <= LONGEST_MESSAGE, message[:200]
        assert message.isprintable(), "one line, without what drives a terminal"
    return messages


def judge(path: Path, changes=()) -> list[RunConfig]:
    """Load a config as each command would; return what it holds, having checked that it survives
    its own dump.
    """
    found: dict[str, RunConfig] = {}
    for load in (load_config, load_sweep):
        try:
            loaded = load(path, changes)
        except InputError as error:
            told(error)
            continue
        if isinstance(loaded, RunConfig):
            found = {"": loaded}
        elif isinstance(loaded, SweepConfig):
            found = dict(loaded.arms)
        else:
            found = dict(loaded.chains)
    for config in found.values():
        plug_ins(config)
        again = validate_config(parse_yaml(dump_config(config), "dump"), "dump")
        assert again.model_dump(mode="json") == config.model_dump(mode="json")
        json.dumps(again.model_dump(mode="json"), allow_nan=False)
    return list(found.values())


NUMBERS = [-1, 0, 1, 2, 3, 8, 16, 100, 1000, 10**5, 10**9, 10**12, 2**63 - 1, 2**63, 10**30]
WORDS = [
    "",
    "x",
    "digits",
    "previous",
    "gaussian",
    "nowhere/at/all",
    "a" * 300,
    "a" * 5000,
    "é\u202e\x1b[31m",
    "1e-3",
    "null",
    "010",
    "1:30",
    "2026-01-01",
    "<<",
    "=",
    "~x",
    "os:system",
    "a:b:c",
    ":",
    "{}",
    "(",
    "((a+)+)+$",
    "\0",
    "\ufeff",
    "\x85",
    " a ",
    "a\nb\n",
    "- a",
    "# a",
    "'",
    '"',
    "a: b",
    "!!int 3",
    "&a",
    "*a",
    "%",
    "@",
    "`",
    "😀",
    "\u2028",
    "a{99999999999}",
]
signs = st.characters(codec="utf-8")
words = st.one_of(st.sampled_from(WORDS), st.text(signs, max_size=12))
numbers = st.one_of(
    st.sampled_from(NUMBERS),
    st.integers(),
    st.floats(),
    st.sampled_from(
        [0.0, 0.1, 0.5, 1.0, 1.5, 1e-300, 1e300, float("inf"), float("-inf"), float("nan")]
    ),
)
plain = st.one_of(st.none(), st.booleans(), numbers, words)
foreign = st.one_of(
    st.dates(),
    st.datetimes(timezones=st.sampled_from([None, datetime.timezone.utc])),
    st.binary(max_size=8),
    st.frozensets(st.integers(), max_size=3).map(set),
    st.tuples(st.integers(), st.text(signs, max_size=3)),
)
keys = st.one_of(words, st.none(), st.booleans(), st.integers(), st.floats(), st.dates())


any_leaves = st.one_of(plain, foreign)


def trees(leaves=any_leaves, names=keys):
    """Trees of anything that YAML can say."""
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.lists(inner, max_size=4), st.dictionaries(names, inner, max_size=4)
        ),
        max_leaves=12,
    )


@st.composite
def deep(draw):
    """Lists or mappings in each other, further than anybody needs."""
    tree = draw(plain)
    for _ in range(draw(st.integers(1, 60))):
        tree = [tree] if draw(st.booleans()) else {"a": tree}
    return tree


anything = st.one_of(plain, plain, trees(), deep())


@cache
def shipped() -> tuple[str, ...]:
    return tuple(path.read_text() for path in sorted((ROOT / "configs").rglob("*.yaml")))


def places(tree, path=()):
    """Yield the path of every value in a tree."""
    inner = (
        tree.items()
        if isinstance(tree, dict)
        else enumerate(tree)
        if isinstance(tree, list)
        else ()
    )
    for key, value in inner:
        yield (*path, key)
        yield from places(value, (*path, key))


def at(tree, path):
    for key in path:
        tree = tree[key]
    return tree


KINDS = [
    *(
        "image",
        "text",
        "gaussian",
        "categories",
        "diffusion",
        "vae",
        "language_model",
        "ngram",
        "kde",
        "mixture",
    ),
    *(
        "population",
        "alternating",
        "pipeline",
        "digits",
        "folder",
        "npz",
        "captioned_folder",
        "torchvision",
        "files",
    ),
    *(
        "hub",
        "pydoc",
        "bpe",
        "pretrained",
        "encoder",
        "sentence_encoder",
        "classifier",
        "pixels",
        "inception",
        "dinov2",
    ),
    *("clip", "sampling", "beam", "gpt2", "not_there:at_all"),
    *(section.model_fields["kind"].default for section in REGIMES),
    *(section.model_fields["kind"].default for section in CURATIONS),
]


@st.composite
def changed(draw, tree, values=anything):
    """A copy of a tree with one to three things in it other than they were."""
    tree = copy.deepcopy(tree)
    for _ in range(draw(st.integers(1, 3))):
        found = list(places(tree))
        if not found:
            break
        *path, last = draw(st.sampled_from(found))
        node = at(tree, path)
        what = draw(
            st.sampled_from(["replace", "replace", "kind", "delete", "rename", "add", "repeat"])
        )
        if what == "replace":
            node[last] = draw(values)
        elif what == "kind":
            kind = draw(st.sampled_from(KINDS))
            node[last] = {**node[last], "kind": kind} if isinstance(node[last], dict) else kind
        elif what == "delete":
            del node[last]
        elif isinstance(node, list):
            node.append(node[last] if what == "repeat" else draw(values))
        elif what == "rename":
            node[draw(words)] = node.pop(last)
        elif what == "repeat":
            node[last] = [node[last]] * draw(st.integers(2, 5))
        else:
            node[draw(words)] = draw(values)
    return tree


SNIPPETS = [
    "modality: gaussian\n",
    "model: ",
    "kind: ",
    "{",
    "}",
    "[",
    "]",
    ", ",
    ": ",
    "- ",
    "? ",
    "\n",
    "  ",
    "\t",
    "'",
    '"',
    "|\n",
    ">-\n",
    "#",
    "---\n",
    "...\n",
    "%YAML 1.1\n",
    "%TAG ! tag:x,2000:\n",
    "&a ",
    "*a",
    "<<: ",
    "!!int ",
    "!!bool x",
    "! ",
    "!!python/object/apply:os.system [ls]",
    "!!binary aa",
    "!!set {a}",
    "0x",
    "0b1",
    "010",
    "1_0",
    "1:30",
    "1e9999",
    ".inf",
    "\\",
    "\\ud800",
    "\\x00",
    "\ufeff",
    "\x00",
    "\x85",
    "\x1b",
    "arms: ",
    "chains: ",
    "profiles: ",
    "profile: x\n",
    "a",
    "9",
]
texts = st.one_of(
    st.binary(max_size=200),
    st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass")),
    st.lists(st.sampled_from(SNIPPETS), max_size=25).map(lambda parts: "".join(parts).encode()),
    st.text(signs, max_size=40).map(lambda text: text.encode("utf-16")),
)


@st.composite
def edited(draw):
    """The text of a config that ships, with lines repeated, cut, joined, or with what YAML has and
    configs do not.
    """
    lines = draw(st.sampled_from(shipped())).splitlines(keepends=True)
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, len(lines) - 1))
        lines[place] = draw(
            st.sampled_from(
                [
                    lines[place] * 2,
                    lines[place][: draw(st.integers(0, 40))],
                    lines[place].replace(": ", ": &a ", 1),
                    lines[place].replace(": ", ": *a ", 1),
                    lines[place].replace(": ", ": !!str ", 1),
                    f"<<: {{a: 1}}\n{lines[place]}",
                    f"{'[' * draw(st.integers(1, 50))}{lines[place]}",
                    f"{draw(st.sampled_from(SNIPPETS))}{lines[place]}",
                    f" {lines[place]}",
                    lines[place].rstrip("\n"),
                ]
            )
        )
    return "".join(lines).encode()


def as_yaml(tree) -> bytes:
    return yaml.dump(tree, sort_keys=False, allow_unicode=True).encode("utf-8", "surrogatepass")


@cache
def mutable() -> st.SearchStrategy:
    """Shipped configs, changed: chains, several chains, sweeps, and some with profiles."""
    trees_there = [yaml.safe_load(text) for text in shipped()]
    profiled = {
        "profiles": {"small": {"generations": 2, "modality.n_train": 10}},
        "profile": "small",
    }
    return st.sampled_from(
        [*trees_there, *({**tree, **profiled} for tree in trees_there[:4])]
    ).flatmap(changed)


@st.composite
def several(draw):
    """Sweeps, or chains side by side, whose names, arms, seeds and contrasts are anything."""
    names = st.one_of(st.sampled_from(["a", "b", "A", "control"]), words)
    small = {"modality": "gaussian", "model": {"kind": "gaussian"}, "generations": 3}
    sections = st.one_of(
        st.none(),
        st.just({}),
        st.just({"regime": "accumulate"}),
        st.dictionaries(
            st.sampled_from(["model.kind", "model", "regime", "generations.x", "seed"]),
            anything,
            max_size=2,
        ),
        changed(small),
        anything,
    )
    tree = {
        **small,
        draw(st.sampled_from(["arms", "chains"])): draw(
            st.dictionaries(names, sections, max_size=4)
        ),
    }
    if draw(st.booleans()):
        tree["seeds"] = draw(st.one_of(st.lists(st.integers(-1, 5), max_size=4), anything))
    if draw(st.booleans()):
        contrast = {
            "metric": "fid",
            "arms": draw(st.lists(names, max_size=3)),
            "generation": draw(st.integers(-1, 5)),
        }
        tree["contrasts"] = draw(st.one_of(st.just([contrast]), changed([contrast]), anything))
    if draw(st.booleans()):
        tree["name"] = draw(words)
    return draw(changed(tree)) if draw(st.booleans()) else tree


DOTTED = [
    "model.kind",
    "model",
    "modality.n_train",
    "modality",
    "regime",
    "generations",
    "seed",
    "profile",
    "arms.a",
    "base",
]


@st.composite
def settings_of(draw):
    """A few `--set` arguments."""
    key = st.one_of(
        st.sampled_from(DOTTED),
        st.lists(words, min_size=1, max_size=4).map(".".join),
        st.just("a." * 500 + "a"),
    )
    text = st.one_of(words, anything.map(lambda tree: as_yaml(tree).decode()), st.text(max_size=20))
    change = st.one_of(st.tuples(key, text).map("=".join), st.text(max_size=30))
    return draw(st.lists(change, min_size=1, max_size=3))


json_like = trees(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(allow_nan=False, allow_infinity=False),
        words,
    ),
    words,
)


class TestTheSchema:
    """Judged in this process."""

    @pytest.fixture
    def path(self, tmp_path):
        return tmp_path / "fuzzed.yaml"

    @counts(60, 600)
    def test_any_bytes(self, examples, path):
        fuzz(
            examples,
            st.one_of(texts, edited()),
            lambda content: (path.write_bytes(content), judge(path)),
        )

    @counts(60, 500)
    def test_any_tree(self, examples, path):
        named = st.dictionaries(
            st.sampled_from(
                [
                    "modality",
                    "model",
                    "regime",
                    "curate",
                    "name",
                    "seed",
                    "arms",
                    "chains",
                    "profiles",
                    "profile",
                ]
            ),
            anything,
        )
        fuzz(
            examples,
            st.one_of(anything, named),
            lambda tree: (path.write_bytes(as_yaml(tree)), judge(path)),
        )

    @counts(60, 700)
    def test_what_ships_with_changes(self, examples, path):
        right: list[object] = []

        def check(tree):
            path.write_bytes(as_yaml(tree))
            right.extend(judge(path))

        fuzz(examples, mutable(), check)
        assert right, "some of them are still right, and survive their own dump"

    @counts(60, 500)
    def test_sweeps_and_chains(self, examples, path):
        fuzz(examples, several(), lambda tree: (path.write_bytes(as_yaml(tree)), judge(path)))

    @counts(60, 400)
    def test_any_set(self, examples, configs):
        there = ["image_digits.yaml", "gaussian.yaml", "sweep_digits.yaml", "side_by_side.yaml"]
        pairs = st.tuples(st.sampled_from(there), settings_of())
        fuzz(examples, pairs, lambda pair: judge(configs / pair[0], pair[1]))

    @counts(60, 400)
    def test_keys_of_another_package_s_class_survive(self, examples, path):
        def check(found):
            tree = {
                "modality": {"kind": "gaussian"},
                "model": {**found[0], "kind": "not_there:Model"},
                "name": found[1],
            }
            path.write_text(dump_yaml(tree), encoding="utf-8")
            for config in judge(path):
                assert getattr(config.model, "keys", None) == {
                    key: value for key, value in found[0].items() if key != "kind"
                }
                assert config.name == found[1]

        fuzz(examples, st.tuples(st.dictionaries(words, json_like, max_size=5), words), check)

    @counts(60, 400)
    def test_text_is_read_as_it_was_written(self, examples):
        fuzz(examples, json_like, lambda tree: self.same(tree))

    def same(self, tree):
        text = dump_yaml(tree)
        try:
            found = parse_yaml(text, "dump")
        except InputError as error:
            what = told(error)[0]
        else:
            what = "" if found == tree else "is something else"
        assert not what or any(bound in what for bound in ("characters", "digits", "deeper")), what


def small_trees(corpus: Path) -> list[dict[str, Any]]:
    """One small chain of each kind of data, and several at once."""
    text = {
        **TINY_CHAIN["modality"],
        "source": {"kind": "files", "path": str(corpus)},
        "n_train": 40,
        "n_test": 20,
    }
    categories = {"kind": "categories", "categories": 5, "n_train": 30, "n_test": 30}
    vae = {"kind": "vae", "hidden": [8], "latent": 2, "watermark": {"strength": 4}}
    ngram = {"kind": "ngram", "order": 2, "watermark": {"strength": 2.0}}
    trees = [
        TINY_GAUSSIAN,
        TINY_MIXED,
        TINY_IMAGE,
        {**TINY_IMAGE, "model": vae, "curate": {"kind": "confidence", "keep": 0.5}},
        {**TINY_GAUSSIAN, "modality": categories, "model": {"kind": "categories"}},
        {**TINY_CHAIN, "modality": text, "curate": {"kind": "drop_watermarked"}},
        {**TINY_CHAIN, "modality": text, "model": ngram, "tracker": None, "base": "nowhere"},
        {"chains": {"one": TINY_GAUSSIAN, "two": TINY_IMAGE}},
        {
            **TINY_GAUSSIAN,
            "arms": {"one": {}, "two": {"model": {"kind": "kde", "bandwidth": 0.5}}},
            "seeds": [0, 1],
        },
    ]
    return [{"name": "small", **tree} for tree in trees]


def bearable(tree) -> bool:
    """Whether no text in it names the whole disk, or what is around the test."""
    found = [
        value.strip() for value in map(partial(at, tree), places(tree)) if isinstance(value, str)
    ]
    return all(text.strip("./ ") and not text.startswith("/") for text in found if text)


sizes = st.sampled_from(
    [1, 2, 3, 5, 7, 8, 20, 30, 40, 64, 100, 400, 1797, 5000, 10**5, 10**9, 10**12]
)
shares = st.one_of(st.sampled_from([0.0, 1e-9, 0.01, 0.5, 1.0, 2.0, 1000.0]), st.floats(0, 1))
classes = st.lists(st.sampled_from(["0", "1", "9", "10", ""]), min_size=1, max_size=3)
paths = st.sampled_from(
    ["corpus", "corpus/0.txt", "small.yaml", "nowhere", "a/b", "hf/x", "corpus\0", "é" * 100, "~"]
)
regimes = st.one_of(
    st.sampled_from(
        ["replace", "real_only", "accumulate", "accumulate_subsample", "not_there:regime"]
    ),
    st.fixed_dictionaries(
        {
            "kind": st.just("mix"),
            "real_fraction": st.one_of(shares, st.lists(shares, max_size=3)),
            "real": st.sampled_from(["fixed", "resampled", "fresh"]),
        }
    ),
    st.fixed_dictionaries({"kind": st.just("synthetic_augmentation"), "ratio": shares}),
    st.fixed_dictionaries({"kind": st.just("fresh_data"), "fresh": sizes}),
    st.fixed_dictionaries({"kind": st.just("sliding_window"), "window": sizes}),
)
curators = st.one_of(
    st.sampled_from([section.model_fields["kind"].default for section in CURATIONS]),
    st.fixed_dictionaries(
        {"kind": st.sampled_from(["random", "oracle", "density", "diversity"]), "keep": shares}
    ),
    st.fixed_dictionaries(
        {"kind": st.just("random"), "oversample": st.sampled_from([1.0, 1.5, 1000.0])}
    ),
)
opened = st.fixed_dictionaries(
    {"kind": st.sampled_from(["clip", "dinov2", "inception"]), "name": paths, "weights": paths}
)
sources = st.one_of(
    st.sampled_from(["digits", "pydoc"]),
    st.fixed_dictionaries(
        {"kind": st.sampled_from(["folder", "npz", "captioned_folder", "files"]), "path": paths}
    ),
    st.fixed_dictionaries({"kind": st.just("files"), "path": paths, "test_path": paths}),
    st.fixed_dictionaries(
        {"kind": st.just("files"), "path": paths, "document_start": st.one_of(words, st.just("^a"))}
    ),
    st.fixed_dictionaries({"kind": st.just("hub"), "name": paths}),
    st.builds(
        lambda name, root, more: {
            "kind": "torchvision",
            "name": name,
            "root": root,
            "download": False,
            "options": more,
        },
        st.sampled_from(
            [
                "MNIST",
                "EMNIST",
                "CIFAR10",
                "SVHN",
                "Kitti",
                "ImageFolder",
                "VisionDataset",
                "__doc__",
                "x",
            ]
        ),
        paths,
        st.dictionaries(
            st.sampled_from(["split", "train", "root", "x", "transform"]),
            st.one_of(words, st.booleans()),
            max_size=2,
        ),
    ),
)
members = st.sampled_from(
    ["gaussian", "kde", "mixture", "categories", "vae", "diffusion", "ngram", "language_model"]
)
pretrained = st.fixed_dictionaries({"kind": st.just("pretrained"), "name": paths})
trained = st.fixed_dictionaries({"kind": st.just("bpe"), "vocabulary": sizes})
made = st.fixed_dictionaries({"kind": st.just("gpt2"), "width": sizes, "heads": sizes})
OPTIONS = {
    "generations": sizes,
    "samples": sizes,
    "shown": sizes,
    "seed": sizes,
    "checkpoint_every": sizes,
    "base": paths,
    "start": st.sampled_from(["previous", "base", "scratch"]),
    "regime": regimes,
    "curate": curators,
    "tracker": st.sampled_from(["tensorboard", "wandb", "mlflow", "trackio"]),
    "threads": st.sampled_from([1, 2, "auto"]),
    "measure.reference": st.sampled_from(["train", "test"]),
    "measure.precision_recall_k": sizes,
    "measure.density_coverage_k": sizes,
    "modality.n_train": sizes,
    "modality.n_test": sizes,
    "modality.n_fresh": sizes,
    "modality.dimensions": sizes,
    "modality.components": sizes,
    "modality.separation": shares,
    "modality.categories": sizes,
    "modality.exponent": shares,
    "modality.size": st.sampled_from([4, 5, 7, 16, 32, 4096]),
    "modality.colour": st.sampled_from(["keep", "grey", "rgb"]),
    "modality.classes": classes,
    "modality.class_sizes": st.dictionaries(st.sampled_from(["0", "1", "10"]), sizes),
    "modality.source": sources,
    "modality.extractor": st.one_of(
        st.sampled_from(["pixels", "inception", "encoder", "not_there:A"]), opened
    ),
    "modality.block": sizes,
    "modality.tokenizer": st.one_of(trained, pretrained),
    "modality.test_share": shares,
    "modality.mauve": st.booleans(),
    "modality.token_budget": sizes,
    "modality.prompts": st.sampled_from(["current", "original"]),
    "modality.split_seed": sizes,
    "model": members,
    "model.models": st.lists(members, min_size=2, max_size=3),
    "model.shares": st.lists(shares, min_size=2, max_size=3),
    "model.channels": st.lists(sizes, max_size=6),
    "model.class_conditional": st.booleans(),
    "model.hidden": st.lists(sizes),
    "model.sampling_bias": shares,
    "model.order": sizes,
    "model.window": sizes,
    "model.bandwidth": shares,
    "model.network": st.one_of(pretrained, made),
    "model.lora": st.fixed_dictionaries(
        {"rank": sizes, "targets": st.one_of(st.just("all-linear"), st.lists(words))}
    ),
    "model.watermark": st.just({}),
    "model.precision": st.sampled_from(["bf16", "auto"]),
    "model.compile": st.booleans(),
    "model.decoding": st.one_of(
        st.just("beam"), st.fixed_dictionaries({"kind": st.just("sampling"), "top_k": sizes})
    ),
    "model.fine_tuning.batch": sizes,
    "model.training.epochs": shares,
    "model.name": paths,
}
"""Keys that sections have, and values of the right type: what the schema cannot judge."""


@st.composite
def plausible(draw, tree):
    """A copy of a tree in which some keys have other values of their type; now and then a value of
    any type.
    """
    for _ in range(draw(st.integers(1, 3))):
        key = draw(st.sampled_from(sorted(OPTIONS)))
        tree = merged(tree, {key: draw(OPTIONS[key])}, "test")
    return draw(changed(tree, plain)) if draw(st.integers(0, 4)) == 4 else tree


class TestWhatIsCheckedPastTheSchema:
    """Data are read and models made for configs of which each is small, but for what was
    changed.
    """

    @pytest.fixture
    def corpus(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        chance = random.Random(0)
        folder = tmp_path / "corpus"
        folder.mkdir()
        for number in range(30):
            text = " ".join("".join(chance.choices("abcdefgh", k=3)) for _ in range(60))
            (folder / f"{number}.txt").write_text(text)
        return folder

    def check(self, path: Path, right: list[object]):
        from imglab.run.build import check, check_each

        for load in (load_config, load_sweep):
            try:
                found = load(path)
                if isinstance(found, RunConfig):
                    check(found, str(path))
                elif isinstance(found, SweepConfig):
                    check_each(found.arms, str(path), "arms")
                else:
                    check_each(found.chains, str(path), "chains")
                right.append(found)
            except InputError as error:
                told(error)

    @pytest.mark.filterwarnings("ignore")
    @counts(40, 900)
    def test_data_and_models(self, examples, corpus, tmp_path):
        right: list[object] = []

        def check(tree):
            (tmp_path / "small.yaml").write_bytes(as_yaml(tree))
            self.check(tmp_path / "small.yaml", right)

        fuzz(
            examples,
            st.sampled_from(small_trees(corpus)).flatmap(plausible).filter(bearable),
            check,
        )
        assert right, "some of them are still right"


BASE = "modality: gaussian\nmodel: gaussian\n"
LAUGHS = "a0: &a0 [lol]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 10)
)
TEXT = (
    "modality: {{kind: text, source: {{kind: files, path: x, document_start: '{}'}}}}\n"
    "model: ngram\n"
)
FIXED = {
    "billion laughs": (LAUGHS, "aliases are not allowed"),
    "an alias of itself": ("a: &a [*a]", "aliases are not allowed"),
    "a depth bomb": ("[" * 100_000, "nest"),
    "a depth bomb of mappings": ("{a: " * 100_000, "nested deeper than 32 levels"),
    "a depth bomb of blocks": ("- " * 100_000, "nested deeper than 32 levels"),
    "two megabytes": ("# " + "x" * (2 << 20), f"is larger than {MAX_BYTES} bytes"),
    "many values": ("[" + "a," * 500_000 + "]", f"more than {MAX_VALUES} values"),
    "a key twice": (
        "seed: 1\nname: x\nseed: 2\n",
        "line 3: is not usable YAML: the key 'seed' occurs twice",
    ),
    "a key twice, otherwise written": ("seed: 1\n'seed': 2\n", "the key 'seed' occurs twice"),
    "a key twice, far inside": (
        BASE + "measure: {reference: test, reference: train}\n",
        "'reference' occurs twice",
    ),
    "python": ("a: !!python/object/apply:os.system [touch harmed]", "tags are not allowed"),
    "python's names": ("a: !!python/name:os.system", "tags are not allowed"),
    "a tag that does not fit": ("a: !!bool maybe", "tags are not allowed"),
    "a tag of nothing": ("a: !!int ''", "tags are not allowed"),
    "a merge": (BASE + "<<: {seed: 1}", "<<: unknown key"),
    "a byte order mark": ("\ufeff" + BASE, None),
    "a zero byte": (BASE + "name: a\0b", "control characters are not allowed"),
    "a zero byte, escaped": (BASE + r'base: "a\0b"', "base: cannot be a path"),
    "half a sign": (BASE + r'name: "\ud800"', "is not usable YAML"),
    "two documents": (BASE + "---\n" + BASE, "found another document"),
    "numbers as keys": (BASE + "1: 2", "the key '1' is not a word: put it in quotes"),
    "true as a key": (BASE + "on: 2", "the key 'on' is not a word: put it in quotes"),
    "profiles of numbers": (BASE + "profiles: {1: {}, a: {}}\nprofile: x", "is not a word"),
    "a key of two lines": (BASE + '"a\\nerror: b": 1', "a key must be one line"),
    "a list as a key": (BASE + "? [1]\n: 2", "a key must be a word"),
    "a key of a megabyte": (
        BASE + "? " + "x" * (1 << 19) + "\n: 1",
        "a key must be one line of at most 255 characters",
    ),
    "text of a megabyte": (
        BASE + "start: " + "x" * (1 << 19),
        "'previous', 'base' or 'scratch', not 'xxx",
    ),
    "a kind of a megabyte": (
        "modality: " + "x" * (1 << 19) + "\nmodel: gaussian",
        "xxx... is not a known modality",
    ),
    "an endless number": (BASE + "seed: 1e999999", "1e999999 is not a finite number"),
    "infinity": (
        "modality: gaussian\nmodel: {kind: 'not_there:at_all', x: .inf}",
        ".inf is not a finite number",
    ),
    "10,000 digits": (
        BASE + "seed: " + "9" * 10_000,
        "is not a finite number of at most 100 digits",
    ),
    "10,000 hexadecimal digits": (
        "modality: {kind: 0x" + "f" * 10_000 + "}\nmodel: gaussian",
        "is not a finite number",
    ),
    "60ths without end": (
        BASE + "seed: 1" + ":59" * 100_000,
        "seed: must be a valid integer, not '1:59",
    ),
    "60ths": (BASE + "seed: 1:30", "seed: must be a valid integer, not '1:30'"),
    "an old octal": (BASE + "seed: 010", "seed: must be a valid integer, not '010'"),
    "an octal": (BASE + "seed: 0o10", "seed: must be a valid integer, not '0o10'"),
    "underscores": (BASE + "seed: 1_000", None),
    "many unknown keys": (
        BASE + "".join(f"k{n}: 1\n" for n in range(15_000)),
        "14900 more problems",
    ),
    "many arms": (
        BASE + "arms:\n" + "".join(f"  a{n}: {{}}\n" for n in range(9000)),
        "there are 9000 of them",
    ),
    "many chains": (
        "chains:\n" + "".join(f"  a{n}: {{}}\n" for n in range(9000)),
        "there are 9000 of them",
    ),
    "a nested expression": (TEXT.format("(" * 49 + ")" * 49), None),
    "an expression that overflows": (TEXT.format("a{99999999999}"), None),
    "a long expression": (TEXT.format("(" * 900 + ")" * 900), "at most 100 characters"),
    "models of another package's class": (
        "modality: gaussian\nmodel: {kind: 'not_there:at_all', models: 5}",
        None,
    ),
    "a name that is a number": (BASE + "name: '1e-3'", None),
    "a name that ends the line": (BASE + 'name: "a\\x85b"', "name: must be a file name"),
    "more numbers than memory": (
        "modality: {kind: gaussian, dimensions: 999, n_test: 9999999}\nmodel: kde",
        "at most",
    ),
    "more categories than memory": (
        "modality: {kind: categories, n_test: 99999999}\nmodel: categories",
        "at most",
    ),
    "digits as large as posters": (
        "modality: {kind: image, size: 4096}\nmodel: vae",
        "size 4096 is too large",
    ),
    "a path longer than systems have": (BASE + "base: " + "x" * 300, "base: cannot be a path"),
}


@pytest.mark.parametrize("what", FIXED)
def test_what_is_known_to_hurt_readers_of_yaml(what, tmp_path):
    content, expected = FIXED[what]
    path = tmp_path / "odd.yaml"
    path.write_text(content, encoding="utf-8")
    found = judge(path)
    if expected is None:
        assert len(found) == 1
        return
    messages = []
    for load in (load_config, load_sweep):
        with pytest.raises(InputError) as caught:
            load(path)
        messages += told(caught.value)
    assert any(expected in message for message in messages), messages[:5]
    assert [inner.name for inner in tmp_path.iterdir()] == ["odd.yaml"]


@pytest.mark.parametrize("coding", ["utf-16", "utf-32", "latin-1"])
def test_other_codings_are_named(coding, tmp_path):
    path = tmp_path / "odd.yaml"
    path.write_bytes((BASE + "name: é").encode(coding))
    with pytest.raises(InputError, match="a config is a UTF-8 text file"):
        load_config(path)


def command(*arguments, folder: Path, seconds: float = 120) -> subprocess.CompletedProcess[bytes]:
    """Run the program as a process of its own in `folder`."""
    given_path = os.pathsep.join([str(ROOT), str(folder)])
    environment = {
        **os.environ,
        "PYTHONPATH": given_path,
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
    }
    full = [sys.executable, "-m", "imglab", *map(str, arguments)]
    return subprocess.run(
        full, cwd=folder, env=environment, capture_output=True, timeout=seconds, check=False
    )


def assert_told(done: subprocess.CompletedProcess[bytes], codes=(2,)) -> None:
    shown = (done.stdout + done.stderr).decode()
    assert done.returncode in codes, f"{done.args}: {done.returncode}\n{shown}"
    assert "Traceback" not in shown, f"{done.args}\n{shown}"
    assert len(shown) < 1 << 20
    assert done.returncode == 0 or done.stderr


@pytest.mark.parametrize(
    "kind",
    ["fifo", "/dev/zero", "/dev/full", "folder", "broken link", "link to itself", "long name"],
)
def test_what_is_no_file_is_not_read(kind, tmp_path):
    path = Path(kind) if kind.startswith("/dev") else tmp_path / "odd.yaml"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "broken link":
        path.symlink_to("nowhere")
    elif kind == "link to itself":
        path.symlink_to(path.name)
    elif kind == "long name":
        path = tmp_path / ("x" * 300)
    assert_told(command("validate", path, folder=tmp_path, seconds=20))


def test_what_may_not_be_read_is_named(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    path = tmp_path / "odd.yaml"
    path.write_text(BASE)
    for name in ("open", "exists"):
        with monkeypatch.context() as patch:
            patch.setattr(Path, name, refuse)
            with pytest.raises(InputError, match=r"odd\.yaml: cannot be read: Permission denied"):
                load_config(path)


def each(count: int, line: str) -> str:
    """So many lines, `#` in them their number."""
    return "".join(line.replace("#", str(number)) for number in range(count))


HALF = MAX_VALUES // 2 - 600
ARMS, WRONG = each(256, "  a#: {}\n"), ", ".join(f"k{n}: 1" for n in range(70))
SHARES = "regime: {kind: mix, real_fraction: [" + "0.5," * (MAX_VALUES - 2000) + "]}\n"
HOSTILE = {
    "brackets": "[" * MAX_BYTES,
    "values": "[" + "a," * (MAX_BYTES // 2 - 2) + "]",
    "as many values as are read": "[" + "a," * (MAX_VALUES - 2) + "]",
    "unknown keys": BASE + each(HALF, "k#: {}\n"),
    "long unknown keys": BASE + each(4_000, f"{'k' * 200}#: 1\n"),
    "long text": BASE + "start: " + "x" * (MAX_BYTES - 100),
    "escapes": BASE + 'start: "' + r"\x41" * (MAX_BYTES // 4 - 20) + '"',
    "folded text": BASE + "start: >\n" + "  a\n\n" * (MAX_BYTES // 5 - 20),
    "words over lines": BASE + "start:\n" + " a\n" * (MAX_BYTES // 3 - 20),
    "tabs": "\t" * MAX_BYTES,
    "comments": "#\n" * (MAX_BYTES // 2),
    "questions": "? " * (MAX_BYTES // 2),
    "anchors": each(HALF, "k#: &a# 1\n"),
    "laughs": LAUGHS,
    "directives": "%A b\n" * (MAX_BYTES // 5),
    "digits": BASE + "seed: " + "9" * (MAX_BYTES - 50),
    "hexadecimal digits": BASE + "seed: 0x" + "f" * (MAX_BYTES - 50),
    "60ths": BASE + "seed: 1" + ":59" * (MAX_BYTES // 3 - 20),
    "wrong numbers": BASE + SHARES.replace("0.5", "a"),
    "wrong seeds": BASE + "arms: {a: {}}\nseeds: [" + "a," * (MAX_VALUES - 100) + "]",
    "seeds": BASE + "arms: {a: {}}\nseeds: [" + each(10_000, "#,") + "]",
    "one seed": BASE + "arms: {a: {}}\nseeds: [" + "1," * 9_999 + "]",
    "contrasts": BASE + "arms: {a: {}}\ncontrasts:\n" + "- {metric: a, arms: [b, b]}\n" * 1_000,
    "arms": BASE + "arms:\n" + ARMS,
    "wrong arms": BASE + "arms:\n" + ARMS.replace("{}", f"{{{WRONG}}}"),
    "arms with much in common": BASE + SHARES + "arms:\n" + ARMS,
    "chains with much in common": SHARES
    + "chains:\n"
    + ARMS.replace("{}", "{modality: gaussian, model: kde}"),
    "arms with unknown keys in common": BASE + each(HALF - 600, "k#: 1\n") + "arms:\n" + ARMS,
    "arms that lead deep": BASE
    + "arms:\n"
    + ARMS.replace("{}", f"{{{'x.' * 31}x: {{{'y.' * 31}y: 1}}}}"),
    "profiles": BASE + "profile: x\nprofiles:\n" + each(HALF, "  a#: {}\n"),
    "models": "modality: gaussian\nmodel: {kind: population, models: ["
    + "{kind: x}," * (MAX_VALUES // 3 - 50)
    + "]}",
    "an expression": TEXT.format("(?i)" + "[!-\U0010ffff]" * 19),
}
"""The worst that a megabyte can hold."""
JUDGE = """
import resource, sys
from pathlib import Path
from imglab.config.load import load_config
from imglab.errors import InputError
from imglab.safe_text import printable
from imglab.studies.sweeps.config import load_sweep
path = Path(sys.argv[1])
text = path.read_text()
try:
    (load_sweep if "\\narms:" in text else load_config)(path)
except InputError as error:
    for problem in error.problems:
        printable(str(problem))
used = resource.getrusage(resource.RUSAGE_SELF)
status = Path("/proc/self/status")
peak = used.ru_maxrss  # which on Linux includes the parent's
if status.exists():
    peak = int(status.read_text().partition("VmHWM:")[2].split()[0])
imported = [name for name in ("torch", "numpy") if name in sys.modules]
print(used.ru_utime + used.ru_stime, peak / 1024, *imported)
"""


@pytest.mark.parametrize("what", HOSTILE)
def test_the_worst_megabyte_is_judged_in_a_second_and_200_mb(what, tmp_path):
    path = tmp_path / "hostile.yaml"
    path.write_text(HOSTILE[what])
    assert path.stat().st_size <= MAX_BYTES
    full = [sys.executable, "-c", JUDGE, str(path)]
    done = subprocess.run(full, capture_output=True, text=True, timeout=60, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr[-2000:]
    seconds, megabytes, *imported = done.stdout.split()
    assert not imported
    assert float(megabytes) <= 200
    assert float(seconds) <= 2, "one second on a machine that has nothing else to do"


MARKED = """
import pathlib, sys
from tests.plugged_models import Sevens
from imglab import regimes
pathlib.Path({marker!r}).touch()
print("imported")

def same(sizes, *, generation, seed):
    return regimes.replace(sizes, generation=generation, seed=seed)
"""


class TestAnotherPackagesClasses:
    """A config that names `module:Class` runs code: `run` alone does, and says so before."""

    @pytest.fixture
    def marker(self, tmp_path, monkeypatch):
        """A file that is there once a module `marked` was imported."""
        monkeypatch.syspath_prepend(tmp_path)
        (tmp_path / "marked.py").write_text(MARKED.format(marker=str(tmp_path / "marker")))
        yield tmp_path / "marker"
        sys.modules.pop("marked", None)

    @pytest.fixture
    def afresh(self, lab, marker):
        def run(*arguments):
            sys.modules.pop("marked", None)
            marker.unlink(missing_ok=True)
            return lab(*arguments)

        return run

    def test_only_run_imports_them_and_says_so_first(self, afresh, marker, tmp_path):
        tree = {
            **TINY_GAUSSIAN,
            "model": {"kind": "marked:Sevens"},
            "regime": {"kind": "marked:same"},
        }
        config = write(tmp_path, tree)
        code, out, err = afresh("validate", config)
        assert (code, err, marker.exists()) == (0, "", False)
        assert "not imported, so not checked: model (marked:Sevens), regime (marked:same)" in out
        code, out, err = afresh("run", config)
        assert (code, err, marker.exists()) == (0, "", True)
        said = "imports what the config names: model (marked:Sevens), regime (marked:same)\n"
        assert out.index(said) < out.index("imported\n")
        for arguments in (["report", "runs/tiny"], ["metrics", "runs/tiny"]):
            code, out, err = afresh(*arguments)
            assert (code, err, marker.exists()) == (0, "", False), out

    def test_each_chain_s_are_named(self, afresh, tmp_path):
        (tmp_path / "marked.py").write_text("raise RuntimeError('not today')")
        chain = {**TINY_GAUSSIAN, "regime": {"kind": "marked:same"}}
        config = write(tmp_path, {"chains": {"one": chain, "two": TINY_GAUSSIAN}})
        code, out, err = afresh("run", config)
        assert code == 2
        assert "imports what the config names: chains.one.regime (marked:same)\n" in out
        assert "cannot import 'marked:same': RuntimeError: not today" in err

    def test_nothing_is_said_where_nothing_is_imported(self, afresh, tmp_path):
        assert "imports" not in afresh("run", write(tmp_path, TINY_GAUSSIAN))[1]


JUNK = [
    ["run", "fuzzed.yaml"],
    ["run", "fuzzed.yaml", "--workers", "2"],
    ["sweep", "fuzzed.yaml"],
    ["sweep", "."],
    ["fork", "nowhere@0", "fuzzed.yaml", "--out", "x"],
    ["fork", "fuzzed.yaml@" + "9" * 5000, "--out", "x"],
    ["fork", ".@0", "--out", "y", "--set", "\x1b=\udcff"],
    ["report", "fuzzed.yaml"],
    ["report", ".", "\udcff"],
    ["metrics", "nowhere"],
    ["metrics", "\x1b[31m"],
    ["metrics", "x" * 5000],
    ["export", ".@0", "--to", "z"],
    ["validate", "x" * 5000],
    ["validate", "\udcff"],
    ["validate", "fuzzed.yaml", "--set", "a" * 100_000],
    ["validate", "fuzzed.yaml", "--set", "=", "--set", "a.b=\udcff"],
    ["claims", "\x1b", "x"],
    ["claims", "--profile", "\udcff"],
    ["run"],
    ["run", "a", "b"],
    ["run", "fuzzed.yaml", "--workers", "-1"],
    ["nothing"],
    ["validate", ""],
    ["metrics", ""],
]


class TestTheCommandLine:
    """As processes of their own: what they end with, and that nothing of Python's shows."""

    def at_once(self, jobs):
        with ThreadPoolExecutor(2) as pool:
            return list(pool.map(lambda job: command(*job[1], folder=job[0]), jobs))

    @counts(6, 50)
    def test_fuzzed_configs(self, examples, tmp_path):
        found: list[bytes] = []
        kinds = st.one_of(texts, edited(), mutable().map(as_yaml), several().map(as_yaml))
        fuzz(max(examples, 20), kinds, found.append)
        jobs = []
        for number, content in enumerate(random.Random(1).sample(found, examples)):
            folder = tmp_path / str(number)
            folder.mkdir()
            (folder / "fuzzed.yaml").write_bytes(content)
            jobs.append((folder, ["validate", "fuzzed.yaml"]))
        for done in self.at_once(jobs):
            assert_told(done, (0, 2))

    @counts(3, len(JUNK))
    def test_junk(self, examples, tmp_path):
        (tmp_path / "fuzzed.yaml").write_text(BASE + "sede: 1\n")
        for done in self.at_once([(tmp_path, arguments) for arguments in JUNK[:examples]]):
            assert_told(done)
        assert [path.name for path in tmp_path.iterdir()] == ["fuzzed.yaml"], (
            "nothing is written for wrong input"
        )
