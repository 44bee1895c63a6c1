"""Emoji: names, categories, skin tones; split by drawings; refused where the folder is wrong."""

from __future__ import annotations

import json

import pytest
import torch

from imglab.config.fetched import RECORD
from tests.conftest import ROOT, load_chain
from tests.images.emoji_folder import write_emoji, write_table
from tests.images.loading import load, refused

TONES = ("light", "medium-light", "medium", "medium-dark", "dark")


@pytest.fixture(scope="module")
def emoji(tmp_path_factory):
    return write_emoji(tmp_path_factory.mktemp("data") / "emoji")


def source(folder, **keys):
    return {"kind": "emoji", "path": str(folder), **keys}


class TestLabels:
    def test_categories(self, emoji):
        real = load(source=source(emoji))
        assert real.classes == ("Objects", "People & Body")
        assert len(real.train) + len(real.test) == 8 * 6 + 3 + 4
        assert real.train.images.shape[1:] == (3, 64, 64)

    def test_skin_tones_are_those_of_all_people_in_a_picture(self, emoji):
        """The couple in two tones, what is drawn in none, and things are left out."""
        real = load(source=source(emoji, labels="skin_tone"))
        assert real.classes == TONES
        both = torch.cat([real.train.labels, real.test.labels])
        assert torch.bincount(both).tolist() == [8, 8, 8, 8, 9]

    def test_a_skin_tone_can_be_made_rare(self, emoji):
        real = load(source=source(emoji, labels="skin_tone"), class_sizes={"dark": 2})
        counts = torch.bincount(real.train.labels).tolist()
        assert counts[4] == 2
        assert min(counts[:4]) == max(counts[:4]) > 4

    def test_names_are_captions(self, emoji):
        real = load(source=source(emoji, labels="name"))
        assert real.classes is None
        assert real.prompts is not None
        assert "thing 0" in real.prompts
        assert "person 0: medium-dark skin tone" in real.prompts
        assert "couple: light skin tone, dark skin tone" in real.prompts

    def test_some_categories(self, emoji):
        real = load(source=source(emoji, categories=["Objects"]))
        assert real.classes == ("Objects",)
        assert len(real.train) + len(real.test) == 4

    def test_transparent_parts_are_white_and_a_tone_has_its_colour(self, emoji):
        real = load(source=source(emoji, labels="skin_tone"), size=32)
        assert (real.train.images[:, :, 0, 0] == 255).all()
        darkest = real.train.images[real.train.labels == 4].float().flatten(1).amin(1)
        lightest = real.train.images[real.train.labels == 0].float().flatten(1).amin(1)
        assert darkest.max() < lightest.min()


class TestSplit:
    def test_a_drawing_is_on_one_side_with_all_its_tones(self, emoji):
        real = load(source=source(emoji, labels="name"))
        sides = []
        for part in (real.train, real.test):
            names = [real.prompts[label] for label in part.labels.tolist()]
            sides.append({name.partition(":")[0] for name in names})
        assert not sides[0] & sides[1]
        assert len(sides[0] | sides[1]) == 13
        assert len(real.test) >= 0.2 * (len(real.test) + len(real.train))

    def test_it_depends_on_its_seed_and_has_the_size_that_is_asked_for(self, emoji):
        same = [load(source=source(emoji), n_test=12).test for _ in range(2)]
        assert torch.equal(same[0].images, same[1].images)
        assert len(same[0]) == 12
        other = load(source=source(emoji), n_test=12, split_seed=1).test
        assert not torch.equal(same[0].labels, other.labels) or not torch.equal(
            same[0].images, other.images
        )


class TestRefused:
    def test_what_was_not_fetched(self, tmp_path, monkeypatch):
        monkeypatch.setenv("IMGLAB_DATA", str(tmp_path))
        assert "run: imglab get emoji" in refused(source="emoji")

    def test_another_folder(self, tmp_path):
        assert "cannot be read" in refused(source=source(tmp_path))
        write_table(tmp_path, [{"name": "X"}])
        assert "is not the table of emoji-datasource-google" in refused(source=source(tmp_path))
        write_table(tmp_path, 3)
        assert "is not the table" in refused(source=source(tmp_path))

    def test_a_name_that_leads_out_of_the_folder(self, tmp_path):
        folder = write_emoji(tmp_path / "emoji")
        rows = json.loads((folder / "emoji.json").read_text())
        rows[0]["image"] = "../../../secret.png"
        write_table(folder, rows)
        assert "is not the name of a picture" in refused(source=source(folder))

    def test_pictures_that_are_missing_are_named(self, tmp_path):
        folder = write_emoji(tmp_path / "emoji")
        (folder / "img/google/64/1f400-1f3ff.png").unlink()
        assert "1f400-1f3ff.png: cannot be read" in refused(source=source(folder))

    def test_what_the_package_lacks_is_not_missed(self, tmp_path):
        folder = write_emoji(tmp_path / "emoji")
        rows = json.loads((folder / "emoji.json").read_text())
        rows[-1]["has_img_google"] = False
        write_table(folder, rows)
        (folder / "img/google/64" / rows[-1]["image"]).unlink()
        real = load(source=source(folder))
        assert len(real.train) + len(real.test) == 8 * 6 + 3 + 3

    def test_an_unknown_category(self, emoji):
        message = refused(source=source(emoji, categories=["Object"]))
        assert "did you mean 'Objects'?" in message

    def test_nothing_to_split(self, emoji):
        message = refused(source=source(emoji, categories=["Objects"], labels="skin_tone"))
        assert "choose other categories" in message


def test_the_shipped_chain_runs_on_a_folder_of_the_same_form(tmp_path, monkeypatch):
    """Each generation counts the skin tones of its pictures."""
    from imglab.running.run import Run

    folder = write_emoji(tmp_path / "data/emoji", people=8)
    (folder / RECORD).write_text("{}")
    monkeypatch.setenv("IMGLAB_DATA", str(tmp_path / "data"))
    changes = [
        "generations=2",
        "samples=20",
        "modality.class_sizes={dark: 3}",
        "modality.size=16",
        "modality.extractor.images=256",
        "model.channels=[8, 8]",
        "model.training={images: 128, batch: 16}",
        "model.fine_tuning={images: 64, batch: 16}",
        "model.steps=2",
    ]
    config = load_chain(ROOT / "configs/image_emoji.yaml", changes)
    run = Run(config, tmp_path / "run")
    generations = list(run.generations())
    assert len(generations) == 2
    counts = generations[-1].metrics["class_counts"]
    assert set(counts) == {"light", "medium", "dark"}
