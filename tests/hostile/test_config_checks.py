"""Configs whose keys are right and whose values may not be: judged by the data and models they
name.
"""

from __future__ import annotations

import random
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st

from imglab.config.curation_sections import CURATIONS
from imglab.config.load import load_config
from imglab.config.merge import merged
from imglab.config.remedy_sections import REMEDIES
from imglab.config.schema import RunConfig
from imglab.errors import InputError
from imglab.studies.sweeps.config import SweepConfig, load_sweep
from tests.hostile.config_edits import as_yaml, at, changed, places
from tests.hostile.config_trees import counts, fuzz, plain, told, words
from tests.tiny_chains import TINY_CHAIN, TINY_GAUSSIAN, TINY_IMAGE, TINY_MIXED


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


remedies = st.one_of(
    st.sampled_from([section.model_fields["kind"].default for section in REMEDIES]),
    st.fixed_dictionaries(
        {"kind": st.sampled_from(["neon", "negative_guidance"]), "w": st.sampled_from([0.0, 2.0])}
    ),
    st.fixed_dictionaries({"kind": st.just("weights"), "real": shares}),
    st.fixed_dictionaries({"kind": st.just("anneal"), "start": shares}),
    st.fixed_dictionaries({"kind": st.just("token_editing"), "first": st.integers(0, 1)}),
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
    "remedy": remedies,
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
        st.just("beam"),
        st.fixed_dictionaries({"kind": st.just("beam"), "length_penalty": shares}),
        st.fixed_dictionaries(
            {"kind": st.just("sampling"), "top_k": sizes, "no_repeat_ngram": sizes}
        ),
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
        from imglab.running.build import check, check_each

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
