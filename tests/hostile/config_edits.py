"""Configs that ship, changed or edited as hypothesis draws it."""

from __future__ import annotations

import copy
from functools import cache

import yaml
from hypothesis import strategies as st

from imglab.config.curation_sections import CURATIONS
from imglab.config.remedy_sections import REMEDIES
from imglab.config.sections import REGIMES
from tests.conftest import ROOT
from tests.hostile.config_trees import anything, signs, words


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
    *(section.model_fields["kind"].default for section in (*CURATIONS, *REMEDIES)),
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
