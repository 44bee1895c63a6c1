"""Synthetic data of one's own: read like the real data, with an origin of their own, and mixed in
by named shares.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from imglab import regimes
from imglab.config.load import validate_config
from imglab.errors import InputError
from imglab.regimes import PoolSizes
from imglab.regimes.mixture import share_sizes
from imglab.running.build import build, build_modality
from imglab.running.cache import RunCache
from imglab.running.export import export
from imglab.samples import GIVEN, Samples, Selection, TrainingSet
from imglab.store.drawn import read_drawn
from imglab.store.reading import read_environment, read_metrics
from tests.tiny_chains import TINY_CHAIN, TINY_IMAGE, finish, write

SHARES = st.dictionaries(
    st.sampled_from(["real", "web", "books", "last"]), st.integers(0, 5), min_size=1
).filter(lambda weights: sum(weights.values()) and set(weights) != {"last"})


HALF = {"real": 0.5, "web": 0.5}


def mixed(shares, **keys) -> dict:
    return {"kind": "mixture", "shares": shares, **keys}


def image_chain(synthetic, regime, **keys) -> dict:
    modality = {**TINY_IMAGE["modality"], "synthetic": synthetic}
    return {**TINY_IMAGE, **keys, "name": "tiny", "modality": modality, "regime": regime}


@pytest.fixture
def web(tmp_path):
    """25 images of 8 x 8 with classes, five of each of five digits, in an archive."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (25, 8, 8), dtype=np.uint8)
    path = tmp_path / "web.npz"
    np.savez(path, images=images, labels=np.repeat(["7", "1", "3", "0", "9"], 5))
    return path


def problems_of(tree) -> str:
    with pytest.raises(InputError) as caught:
        build(validate_config(tree, "config"), "config")
    return str(caught.value)


class TestMixture:
    @given(weights=SHARES, total=st.integers(1, 400), generation=st.integers(0, 3))
    def test_sizes_add_up_and_are_nearest(self, weights, total, generation):
        whole = sum(weights.values())
        shares = {name: weight / whole for name, weight in weights.items()}
        counts = share_sizes(shares, total, generation)
        assert sum(counts.values()) == total

        # The real share is the same in every generation, if labels can take that of `last`.
        if generation or {"web", "books"} & set(shares):
            assert abs(counts.get("real", 0) - total * shares.get("real", 0)) < 1
        for name, count in counts.items():
            assert count > total * shares[name] - 1
            assert generation == 0 or count < total * shares[name] + 1

    def test_every_part_has_its_share(self):
        sizes = PoolSizes((100, 80, 80), {"web": 50, "books": 60})
        shares = {"real": 0.2, "books": 0.3, "web": 0.1, "last": 0.4}
        selection = regimes.mixture(sizes, generation=2, seed=0, shares=shares)
        entries, counts = selection.entry.unique(return_counts=True)
        assert dict(zip(entries.tolist(), counts.tolist(), strict=True)) == {
            GIVEN - 1: 30,
            GIVEN: 10,
            0: 20,
            2: 40,
        }
        selection.check(sizes, [50, 60])

    def test_all_real_is_the_real_set(self):
        """At a share of 1 it is what every other regime begins with."""
        one = regimes.mixture([25], generation=0, seed=3, shares={"real": 1.0})
        other = regimes.replace([25], generation=0, seed=3)
        assert torch.equal(one.entry, other.entry)
        assert torch.equal(one.index, other.index)

    def test_fixed_parts_stay_and_resampled_ones_do_not(self):
        sizes = PoolSizes((100, 100, 100), {"web": 100})
        shares = {"real": 0.5, "web": 0.5}

        def drawn(generation, choice):
            return regimes.mixture(
                sizes, generation=generation, seed=0, shares=shares, choice=choice
            ).index.tolist()

        assert drawn(1, "fixed") == drawn(2, "fixed")
        assert drawn(1, "resampled") != drawn(2, "resampled")

    def test_an_entry_beyond_what_was_given(self):
        selection = Selection(torch.tensor([GIVEN - 1]), torch.tensor([0]))
        with pytest.raises(ValueError, match="beyond the pool"):
            selection.check([5], [5])
        with pytest.raises(ValueError, match="beyond its entry"):
            Selection(torch.tensor([GIVEN]), torch.tensor([5])).check([9], [5, 9])


def test_lineage_names_the_sets():
    real = Samples.real(torch.zeros(3, 1))
    pools = {0: real, GIVEN: Samples.given(torch.ones(2, 1), None, 0)}
    pools[GIVEN - 1] = Samples.given(torch.ones(2, 1), None, 1)
    selection = Selection(torch.tensor([0, GIVEN - 1, GIVEN, GIVEN]), torch.tensor([0, 1, 0, 1]))
    train = TrainingSet(pools, selection, ["web", "books"])
    assert train.origin_counts == {"books": 1, "web": 2, "real": 1}
    assert train.real_share == 0.25


class TestImages:
    def test_a_chain_that_begins_with_a_mixture(self, web, tmp_path):
        synthetic = [{"label": "web", "path": str(web)}]
        regime = mixed({"real": 0.5, "web": 0.25, "last": 0.25})
        finish(write(tmp_path, image_chain(synthetic, regime)), tmp_path / "run")

        rows = read_metrics(tmp_path / "run")
        assert rows[0]["origins"] == {"web": 20, "real": 20}
        assert rows[1]["origins"] == {"web": 10, "real": 20, "0": 10}
        assert set(read_environment(tmp_path / "run")["data"]) == {"train", "test", "synthetic web"}
        card = (tmp_path / "run/generation_000/model/README.md").read_text()
        assert "trained under regime `mixture`" in card

    def test_a_run_goes_on_where_its_sets_were_moved(self, web, tmp_path):
        regime = mixed({"real": 0.5, "web": 0.5})
        synthetic = {"label": "web", "path": str(web)}
        tree = image_chain(synthetic, regime, generations=1)
        run = tmp_path / "run"
        finish(write(tmp_path, tree), run)

        moved = web.rename(tmp_path / "moved.npz")
        assert export(f"{run}@0", tmp_path / "samples") == 24
        tree = image_chain({**synthetic, "path": str(moved)}, regime)
        assert len(finish(write(tmp_path, tree), run)) == 2
        assert str(web) in (run / "config.yaml").read_text(), "the place that it began with"
        modality: Any = read_drawn(f"{run}@1").config.modality
        assert modality.synthetic[0].path == str(moved)

        # What it holds now is another set, which is refused and changes nothing.
        np.savez(moved, images=np.zeros((25, 8, 8), np.uint8))
        sealed = (run / "config.yaml").read_bytes()
        with pytest.raises(InputError, match="the synthetic data web are not those that this run"):
            finish(write(tmp_path, {**tree, "generations": 3}), run)
        assert (run / "config.yaml").read_bytes() == sealed

        # Another label, or another number of sets, is another run.
        tree = image_chain({"label": "books", "path": str(moved)}, mixed({"real": 1.0}))
        with pytest.raises(InputError, match=r"modality.synthetic.*the run there has"):
            finish(write(tmp_path, tree), run)

    @pytest.mark.parametrize("run", ["nothing@0", "nothing"])
    def test_a_run_that_is_none_is_named_with_its_key(self, tmp_path, run):
        tree = image_chain({"label": "web", "run": str(tmp_path / run)}, mixed({"web": 1.0}))
        with pytest.raises(InputError, match=r"modality\.synthetic\.web\.run: .*nothing"):
            build_modality(validate_config(tree, "config"))

    def test_classes_are_counted_by_name(self, web):
        tree = image_chain({"label": "web", "path": str(web)}, "replace")
        modality: Any = build_modality(validate_config(tree, "config"))
        samples = modality.synthetic()["web"]
        assert samples.condition.tolist() == [7] * 5 + [1] * 5 + [3] * 5 + [0] * 5 + [9] * 5
        assert set(samples.origin.tolist()) == {GIVEN}
        assert "synthetic web: 25 images" in modality.data_line

    def test_what_a_run_drew(self, tmp_path):
        config = write(tmp_path, {**TINY_IMAGE, "name": "tiny", "generations": 1})
        finish(config, tmp_path / "other")
        synthetic = {"label": "own", "run": f"{tmp_path}/other@0"}
        modality: Any = build_modality(validate_config(image_chain(synthetic, "replace"), "config"))
        assert len(modality.synthetic()["own"]) == 24

        # Another size is another kind of picture.
        tree = image_chain(synthetic, "replace")
        tree["modality"]["size"] = 16
        assert "imglab export" in problems_of(tree)

    def test_problems_name_the_set(self, web, tmp_path):
        def said(synthetic, regime="replace", **keys):
            return problems_of(image_chain(synthetic, regime, **keys))

        there = {"label": "web", "path": str(web)}
        assert "modality.synthetic.web.path" in said({"label": "web", "path": str(tmp_path / "no")})
        assert "did you mean 'web'" in said(there, mixed({"real": 0.5, "wbe": 0.5}))
        assert "asks for 32 samples, there are 25" in said(there, mixed({"real": 0.2, "web": 0.8}))
        assert "add up to 0.9" in said(there, mixed({"real": 0.5, "web": 0.4}))
        assert "generation 0 has no last generation" in said(there, mixed({"last": 1.0}))
        assert "give one of path, hub and run" in said({"label": "web"})
        assert "two sets have the label" in said([there, there])
        assert "means something else" in said({**there, "label": "real"})

        np.savez(tmp_path / "large.npz", images=np.zeros((9, 16, 16), np.uint8))
        large = {"label": "large", "path": str(tmp_path / "large.npz")}
        assert "images are 16 x 16 grey, the real ones 8 x 8 grey" in said(large)

        np.savez(tmp_path / "others.npz", images=np.zeros((2, 8, 8), np.uint8), labels=["a", "b"])
        others = {"label": "others", "path": str(tmp_path / "others.npz")}
        assert "has the class 'a', which the real images do not have" in said(others)

    def test_a_model_of_classes_needs_them(self, tmp_path):
        np.savez(tmp_path / "plain.npz", images=np.zeros((40, 8, 8), np.uint8))
        plain = {"label": "plain", "path": str(tmp_path / "plain.npz")}
        tree = image_chain(plain, mixed({"plain": 1.0}))
        build(validate_config(tree, "config"), "config")
        tree["model"] = {**tree["model"], "class_conditional": True}
        assert "has no classes, and the model is class-conditional" in problems_of(tree)

    @pytest.mark.parametrize("kind", ["population", "alternating"])
    def test_models_of_classes_in_a_mixed_chain_need_them(self, kind, tmp_path):
        np.savez(tmp_path / "plain.npz", images=np.zeros((40, 8, 8), np.uint8))
        plain = {"label": "plain", "path": str(tmp_path / "plain.npz")}
        tree = image_chain(plain, mixed({"plain": 1.0}))
        member = {**tree["model"], "class_conditional": True}
        tree["model"] = {"kind": kind, "models": [member, member]}
        assert "has no classes, and the model is class-conditional" in problems_of(tree)

    def test_held_out_images_are_refused(self, tmp_path):
        modality: Any = build_modality(validate_config({**TINY_IMAGE, "name": "tiny"}, "config"))
        images = [modality.real(split).data[:, 0].numpy() for split in ("train", "test")]
        np.savez(tmp_path / "all.npz", images=np.concatenate(images))
        everything = {"label": "all", "path": str(tmp_path / "all.npz")}
        said = problems_of(image_chain(everything, "replace"))
        assert "30 of its 70 samples are held-out real ones" in said

    def test_a_run_on_the_same_images_in_another_place(self, tmp_path):
        rng = np.random.default_rng(0)
        np.savez(tmp_path / "mine.npz", images=rng.integers(0, 256, (80, 8, 8), dtype=np.uint8))
        modality = {**TINY_IMAGE["modality"], "extractor": "pixels"}
        modality["source"] = {"kind": "npz", "path": str(tmp_path / "mine.npz")}
        tree = {**TINY_IMAGE, "name": "tiny", "generations": 1, "modality": modality}
        finish(write(tmp_path, tree), tmp_path / "other")

        (tmp_path / "mine.npz").rename(tmp_path / "moved.npz")
        modality["source"]["path"] = str(tmp_path / "moved.npz")
        modality["synthetic"] = {"label": "own", "run": f"{tmp_path}/other@0"}
        again: Any = build_modality(validate_config({**tree, "modality": modality}, "config"))
        assert len(again.synthetic()["own"]) == 24

    @pytest.mark.parametrize("kind", ["folder", "parquet"])
    def test_a_data_set_of_the_hub_is_read_as_an_archive(self, kind, web, tmp_path):
        """A local folder in its form: of image files, or of tables with images in them."""
        datasets = pytest.importorskip("datasets")
        archive = np.load(web)
        place = tmp_path / "set"
        pictures = [Image.fromarray(image) for image in archive["images"]]
        if kind == "folder":
            for number, (picture, label) in enumerate(
                zip(pictures, archive["labels"], strict=True)
            ):
                (place / "train" / label).mkdir(parents=True, exist_ok=True)
                picture.save(place / "train" / label / f"{number:02}.png")
        else:
            names = sorted(set(archive["labels"].tolist()))
            classes = datasets.ClassLabel(names=names)
            features = datasets.Features({"image": datasets.Image(), "label": classes})
            rows = {"image": pictures, "label": [names.index(each) for each in archive["labels"]]}
            place.mkdir()
            table = datasets.Dataset.from_dict(rows, features=features)
            table.to_parquet(place / "train.parquet")

        sets = [{"label": "web", "path": str(web)}, {"label": "hub", "hub": str(place)}]
        modality: Any = build_modality(validate_config(image_chain(sets, "replace"), "config"))
        of_archive, of_hub = (modality.synthetic()[label] for label in ("web", "hub"))
        seen = [
            {(image.numpy().tobytes(), int(label)) for image, label in zip(*each, strict=True)}
            for each in ((one.data, one.condition) for one in (of_archive, of_hub))
        ]
        assert seen[0] == seen[1]

    @pytest.mark.parametrize("names", [("7", "1"), ("dog", "cat")])
    def test_images_of_another_kind_may_come_without_their_classes(self, names, tmp_path):
        """Classes that the real images do not have are refused, unless they are left out."""
        datasets = pytest.importorskip("datasets")
        pictures = [Image.fromarray(np.full((8, 8), n, np.uint8)) for n in range(6)]
        features = datasets.Features({"image": datasets.Image(), "label": datasets.Value("string")})
        rows = {"image": pictures, "label": [names[n % 2] for n in range(6)]}
        (tmp_path / "set").mkdir()
        table = datasets.Dataset.from_dict(rows, features=features)
        table.to_parquet(tmp_path / "set/train.parquet")

        synthetic = {"label": "web", "hub": str(tmp_path / "set")}
        if names == ("dog", "cat"):
            said = problems_of(image_chain(synthetic, "replace"))
            assert "has the class 'cat', which the real images do not have" in said
            assert "or classes: none, for images of another kind" in said
            synthetic["classes"] = "none"
        config = validate_config(image_chain(synthetic, "replace"), "config")
        modality: Any = build_modality(config)
        condition = modality.synthetic()["web"].condition
        if names == ("dog", "cat"):
            assert condition is None
        else:
            assert condition.tolist() == [7, 1] * 3

    def test_problems_of_the_hub_name_the_key(self, tmp_path):
        datasets = pytest.importorskip("datasets")
        pictures = [Image.fromarray(np.full((8, 8), 9, np.uint8)), None]
        features = datasets.Features({"image": datasets.Image(), "n": datasets.Value("int64")})
        table = datasets.Dataset.from_dict({"image": pictures, "n": [1, 2]}, features=features)
        (tmp_path / "set").mkdir()
        table.to_parquet(tmp_path / "set/train.parquet")

        def said(**keys):
            synthetic = {"label": "web", "hub": str(tmp_path / "set"), **keys}
            return problems_of(image_chain(synthetic, "replace"))

        assert "row 1 cannot be read as an image: it is empty" in said()
        assert "did you mean 'image'?" in said(column="imgae")
        assert "the column 'n' holds no images (columns of images: image)" in said(column="n")
        assert "there is no folder" in said(hub=str(tmp_path / "nothing"))
        datasets.Dataset.from_dict(
            {"image": [pictures[0]] * 3, "label": ["0", "dog", None]},
            features=datasets.Features(
                {"image": datasets.Image(), "label": datasets.Value("string")}
            ),
        ).to_parquet(tmp_path / "set/train.parquet")
        assert "1 of 3 rows have no class in the column 'label'" in said()
        archive = {"label": "web", "path": "x.npz", "column": "image"}
        assert "images are not read from rows" in problems_of(image_chain(archive, "replace"))

    @pytest.mark.slow
    def test_a_sweep_over_mixtures(self, web, lab, tmp_path):
        """Each arm takes its own share of the set; the control takes none."""
        tree = {**image_chain({"label": "web", "path": str(web)}, "replace"), "generations": 1}
        tree["seeds"] = [0]
        tree["arms"] = {"real": {"regime": "real_only"}, "half": {"regime": mixed(HALF)}}
        code, out, err = lab("sweep", write(tmp_path, tree), "--out", tmp_path / "sweep")
        assert (code, err) == (0, ""), out
        parts = {
            arm: read_metrics(tmp_path / "sweep" / arm / "seed-0")[0]["origins"]
            for arm in tree["arms"]
        }
        assert parts == {"real": {"real": 40}, "half": {"real": 20, "web": 20}}


class TestText:
    def test_a_chain_that_begins_with_a_mixture(self, tmp_path):
        (tmp_path / "web.txt").write_text("The cat sat on the mat, and the dog did not. " * 400)
        modality = {**TINY_CHAIN["modality"]}
        modality["synthetic"] = {"label": "web", "path": str(tmp_path / "web.txt")}
        tree = {**TINY_CHAIN, "name": "tiny", "generations": 1, "modality": modality}
        tree["regime"] = mixed({"real": 0.75, "web": 0.25})
        finish(write(tmp_path, tree), tmp_path / "run")

        row = read_metrics(tmp_path / "run")[0]
        assert row["origins"]["web"] == round(row["n_train"] * 0.25)

    def test_drawn_text_may_hold_what_people_do_not_write(self, tmp_path):
        """And it begins as the real text does."""
        (tmp_path / "web.txt").write_text("one\0 two three four five six seven. " * 60)
        modality = {**TINY_CHAIN["modality"]}
        modality["synthetic"] = {"label": "web", "path": str(tmp_path / "web.txt")}
        tree = {**TINY_CHAIN, "name": "tiny", "modality": modality}
        again: Any = build_modality(validate_config(tree, "config"))
        assert len(again.synthetic()["web"])

    def test_another_tokenizer(self, tmp_path):
        tree = {**TINY_CHAIN, "name": "tiny", "generations": 1}
        finish(write(tmp_path, tree), tmp_path / "other")
        modality = {**tree["modality"], "tokenizer": {"kind": "bpe", "vocabulary": 400}}
        modality["synthetic"] = {"label": "own", "run": f"{tmp_path}/other@0"}
        assert "has another tokenizer" in problems_of({**tree, "modality": modality})


def test_a_config_without_sets_keeps_its_hash():
    tree = {**TINY_IMAGE, "name": "tiny"}
    assert "synthetic" not in validate_config(tree, "config").model_dump(mode="json")["modality"]


def test_only_regimes_that_begin_alike_share_generation_0(tmp_path):
    def place(regime):
        config = validate_config({**TINY_IMAGE, "name": "tiny", "regime": regime}, "config")
        return RunCache.below(tmp_path, config, 1).generation0

    assert place("replace") == place("accumulate")
    half = mixed({"real": 0.5, "last": 0.5})
    assert place("replace") != place(half)
    assert place(half) != place(mixed({"real": 0.25, "last": 0.75}))
