"""Further networks that score the same images, and extractors that need no labels."""

from __future__ import annotations

import json
import math

import pytest
import torch

from imglab.cli.judge import format_judges, parse_judges
from imglab.config.load import validate_config
from imglab.errors import InputError
from imglab.images.extractor_settings import SelfSupervisedSettings
from imglab.images.judges import Judges
from imglab.images.labelled import LabelledImages
from imglab.images.modality import ImageModality
from imglab.images.self_supervised import SelfSupervised, contrastive_loss
from imglab.images.settings import ImageSettings
from imglab.running.resume import resolve
from imglab.store.sealed_config import config_hash, write_config
from tests.tiny_chains import TINY_GAUSSIAN, TINY_IMAGE, finish, hashes, write

LENET = {"kind": "classifier", "network": "lenet", "images": 256, "seed": 1}


def test_judges_stand_beside_the_extractor_and_are_asked_again_later(lab, tmp_path):
    modality = {**TINY_IMAGE["modality"], "judges": [LENET, "pixels"]}
    config = write(tmp_path, {**TINY_IMAGE, "modality": modality, "generations": 3})
    run = tmp_path / "run"
    rows = [generation.metrics for generation in finish(config, run)]
    for name in ("fid_by_judge", "precision_by_judge", "recall_by_judge"):
        assert list(rows[0][name]) == ["lenet 1", "pixels"]

    before = hashes(run)
    code, out, err = lab("judge", run, "--judge", json.dumps(LENET), "--judge", "pixels")
    assert (code, err) == (0, "")
    assert [line.split()[0] for line in out.splitlines()[:-1]] == [
        *["generation", "0", "1", "2"],
        "agreement",
    ]

    # The same judges say the same; nothing but their file is new.
    written = json.loads((run / "judges.json").read_text())
    for row, judged in zip(rows, written["generations"], strict=True):
        assert judged["fid_by_judge"] == pytest.approx(row["fid_by_judge"])
        assert judged["fid"] == row["fid"]
    assert before.items() <= hashes(run).items()
    assert lab("verify", run)[0] == 0
    assert json.loads(lab("judge", run, "--judge", "pixels", "--json")[1])["agreement"].keys() == {
        "pixels"
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none"], "is not a run directory"),
        (["none", "--judge", "lennet"], "'lennet' is not a known kind"),
        (["none", "--judge", "{kind: classifier, seeds: 1}"], "seeds: unknown key"),
    ],
)
def test_wrong_judges(lab, arguments, message):
    code, _, err = lab("judge", *arguments)
    assert code == 2
    assert message in err


def test_only_finished_runs_of_images_are_judged(lab, tmp_path):
    run = tmp_path / "run"
    finish(write(tmp_path, TINY_GAUSSIAN), run)
    code, _, err = lab("judge", run)
    assert code == 2
    assert "judges score images" in err

    (run / "generation_002" / "manifest.json").unlink()
    code, _, err = lab("judge", run)
    assert code == 2
    assert "is missing, and the run had finished 3 generations" in err


def test_a_judge_twice_is_refused():
    sections = parse_judges(["lenet", "lenet"])
    with pytest.raises(InputError, match="two judges are 'lenet 1'"):
        _ = Judges(sections, 10, "--judge").extractors


def test_the_table_of_judges():
    result = {
        "generations": [{"generation": 0, "fid": 1.5, "fid_by_judge": {"lenet 1": None}}],
        "agreement": {"lenet 1": 0.5},
    }
    lines = [line.split() for line in format_judges(result).splitlines()]
    assert lines[1:3] == [["0", "1.5", "-"], ["agreement", "0.5"]]


class TestOldRuns:
    """Runs from before there was another network than `small` by default."""

    def former(self, **extractor):
        section = {"kind": "classifier", **extractor}
        modality = {**TINY_IMAGE["modality"], "extractor": section}
        return validate_config({**TINY_IMAGE, "name": "x", "modality": modality}, "config")

    def test_the_run_goes_on_with_the_network_that_it_began_with(self, tmp_path):
        stored = self.former(network="small", images=60_000, seed=0)
        write_config(tmp_path, stored)

        resumed = resolve(self.former(), tmp_path, "config").model_dump()
        assert resumed["modality"]["extractor"] == stored.model_dump()["modality"]["extractor"]
        with pytest.raises(InputError, match="network"):
            resolve(self.former(network="standard"), tmp_path, "config")

    def test_no_judges_leave_the_hash_of_a_config_as_it_was(self):
        config = self.former()
        assert "judges" not in config.model_dump(mode="json")["modality"]
        judged = config.modality.model_copy(update={"judges": parse_judges(["pixels"])})
        assert config_hash(config) != config_hash(config.model_copy(update={"modality": judged}))


class TestSelfSupervised:
    def test_it_is_the_default_without_labels(self, tmp_path):
        import numpy as np

        images = np.zeros((30, 8, 8), np.uint8)
        np.savez(tmp_path / "a.npz", train_images=images, test_images=images)
        source = {"kind": "npz", "path": str(tmp_path / "a.npz")}
        modality = ImageModality(ImageSettings.model_validate({"source": source}))
        assert isinstance(modality.extractor, SelfSupervised)

    def test_deterministic_and_stored(self, tmp_path):
        real = ImageModality(ImageSettings(n_train=100)).real("train").data
        extractors = []
        for folder in ("a", "a", "b"):
            (tmp_path / folder).mkdir(exist_ok=True)
            extractor = SelfSupervised(SelfSupervisedSettings(images=512))
            extractor.prepare(LabelledImages(real, None), tmp_path / folder)
            extractors.append(extractor)
        assert len({extractor.name for extractor in extractors}) == 1
        assert torch.isfinite(extractors[0].features(real)).all()

    def test_the_loss_of_views_that_say_nothing_and_of_views_that_match(self):
        same = torch.ones(8, 4)
        assert float(contrastive_loss(same)) == pytest.approx(math.log(7))

        directions = torch.eye(4).repeat(2, 1)
        matching = math.log(1 + 6 * math.exp(-5))
        assert float(contrastive_loss(directions)) == pytest.approx(matching, rel=1e-5)
