"""Groups of images that a column names: which they are, what is recalled of them, how many."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import ValidationError

from imglab.errors import InputError
from imglab.groups import Grouped
from imglab.images.data import load_real_images
from imglab.images.labelled import LabelledImages
from imglab.images.modality import ImageModality
from imglab.images.settings import ImageSettings
from imglab.images.sources import read_source
from imglab.measure import Measure
from imglab.measures import Measures
from imglab.progress import finish
from imglab.running.environment import _hash_data
from imglab.samples import Samples
from tests.images.emoji_folder import write_emoji


def write_image(path: Path, grey: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((8, 8), grey, dtype=np.uint8)).save(path)


def settings(folder: Path, **keys) -> ImageSettings:
    source = {"kind": "folder", "path": str(folder)}
    keys = {"groups": "tone", "extractor": "pixels", **keys}
    return ImageSettings.model_validate({"source": source, **keys})


@pytest.fixture
def folder(tmp_path):
    """24 images of two classes, a third of each dark; the table misses the last four."""
    rows = ["file_name,tone"]
    for number in range(24):
        name = f"{'ab'[number % 2]}/{number:02d}.png"
        tone = "dark" if number % 6 < 2 else "light"
        write_image(tmp_path / name, 10 * number)
        if number < 20:
            rows.append(f"{Path(name).name},{tone}")
    (tmp_path / "metadata.csv").write_text("\n".join(rows) + "\n")
    return tmp_path


def test_each_image_has_the_group_of_its_row(folder):
    real = load_real_images(settings(folder, n_test=10))
    assert real.groups == ("dark", "light", "none")
    for part in (real.train, real.test):
        assert part.groups is not None
        numbers = (part.images[:, 0, 0, 0] // 10).tolist()
        expected = ["none" if n >= 20 else "dark" if n % 6 < 2 else "light" for n in numbers]
        assert [real.groups[group] for group in part.groups.tolist()] == expected


def test_the_data_line_names_the_groups_and_counts_their_table_as_read(folder):
    line = ImageModality(settings(folder, n_test=10)).data_line
    assert "3 groups in 'tone' of metadata.csv: light 12, dark 8, none 4" in line
    assert ".csv (" not in line
    assert "left out" not in line


def test_tables_of_split_folders_name_their_own_images(tmp_path):
    for split, tones in (("train", "dark light dark light"), ("test", "light light dark dark")):
        rows = ["file_name,text,tone"]
        for number, tone in enumerate(tones.split()):
            write_image(tmp_path / split / f"{number}.png", 10 * number)
            rows.append(f"{number}.png,a picture,{tone}")
        (tmp_path / split / "metadata.csv").write_text("\n".join(rows) + "\n")

    source = {"kind": "captioned_folder", "path": str(tmp_path)}
    real = load_real_images(settings(tmp_path, source=source))
    assert real.groups is not None
    assert real.test.groups is not None
    names = [real.groups[group] for group in real.test.groups.tolist()]
    order = (real.test.images[:, 0, 0, 0] // 10).tolist()
    assert [names[order.index(number)] for number in range(4)] == ["light", "light", "dark", "dark"]


def test_a_group_is_made_rare(folder):
    real = load_real_images(settings(folder, n_test=10, group_sizes={"light": 2}))
    assert real.groups is not None
    assert real.train.groups is not None
    assert real.train.groups.tolist().count(real.groups.index("light")) == 2
    assert len(real.for_training) == 14


def test_emoji_without_a_skin_tone_are_the_group_none(tmp_path):
    write_emoji(tmp_path)
    source = {"kind": "emoji", "path": str(tmp_path)}
    real = load_real_images(settings(tmp_path, source=source, groups="skin_tone"))
    assert set(real.groups or ()) >= {"none", "light", "dark"}
    assert real.train.groups is not None
    assert len(real.train.groups) == len(real.train.images)


@pytest.mark.parametrize(
    ("table", "keys", "message"),
    [
        (None, {"groups": "tones"}, "did you mean 'tone'"),
        ("file_name,tone\n00.png,dark\n", {}, "no training image is of the group 'dark'|no test"),
        ("id,file_name,tone\n1,00.png,dark,3\n", {}, "row 2 of metadata.csv has more cells"),
        (None, {"groups": "file_name"}, "'file_name' of metadata.csv names the images"),
        (None, {"group_sizes": {"dark": 1}, "class_sizes": {"a": 1}}, "give class_sizes or"),
        ("file_name,tone\n00.png,dark\n00.png,light\n", {}, "00.png is of several groups"),
        ("", {}, "no table with a column file_name is in the folder"),
        (None, {"groups": "name"}, "24 values for 24 images"),
        (None, {"groups": "same"}, "all images are of one group, 'x'"),
        (None, {"group_sizes": {"drak": 1}}, "did you mean 'dark'"),
        (None, {"group_sizes": {"dark": 99}}, "asks for 99 images"),
        (None, {"source": {"kind": "digits"}}, "kind digits has no table"),
    ],
)
def test_what_is_no_column_of_groups_is_said(folder, table, keys, message):
    if table is not None:
        (folder / "metadata.csv").write_text(table)
    else:
        rows = (folder / "metadata.csv").read_text().splitlines()
        more = [f"{row},{number},x" for number, row in enumerate(rows[1:])]
        more += [f"{number}.png,,{number},x" for number in range(20, 24)]
        (folder / "metadata.csv").write_text("\n".join([f"{rows[0]},name,same", *more]))
    with pytest.raises((InputError, ValidationError), match=message):
        load_real_images(settings(folder, **{"n_test": 10, **keys}))


def group_by_file(root: Path, **keys) -> dict[str, str]:
    """Return the group of each image, by its path, as a table names it."""
    images = read_source(settings(root, **keys))
    assert images.groups is not None
    numbers = LabelledImages.joined([images.train, *filter(None, [images.test])]).groups
    assert numbers is not None
    names = [str(path.relative_to(root)) for path in images.paths]
    return dict(zip(names, [images.groups[n] for n in numbers.tolist()], strict=True))


def two_folders(root: Path) -> None:
    """Images of the same names in two folders: 0 to 4 in a, 3 to 7 in b."""
    for number in range(5):
        write_image(root / f"a/{number}.png", 20 * number)
        write_image(root / f"b/{number + 3}.png", 20 * number)


def test_a_row_is_never_of_another_image_of_the_same_name(tmp_path):
    """Row a/7.png is of an image that is missing, and 3.png of two."""
    two_folders(tmp_path)
    rows = ["file_name,tone", "a/0.png,dark", "a/1.png,dark", "a/7.png,dark", "b/6.png,light"]
    (tmp_path / "metadata.csv").write_text("\n".join([*rows, "3.png,dark", "4,dark"]))
    groups = group_by_file(tmp_path)
    assert {name for name, group in groups.items() if group == "dark"} == {"a/0.png", "a/1.png"}
    assert groups["b/6.png"] == "light"
    assert groups["b/7.png"] == groups["a/3.png"] == groups["b/3.png"] == "none"
    notes = read_source(settings(tmp_path)).notes
    assert any("name no image, or several: 3" in note for note in notes)


def test_the_column_file_name_comes_before_numbers_that_images_have_as_names(tmp_path):
    for number in range(8):
        write_image(tmp_path / f"{number}.png", 20 * number)
    rows = [f"{7 - number},{number}.png,{'dark' if number < 4 else 'light'}" for number in range(8)]
    (tmp_path / "table.csv").write_text("\n".join(["id,file_name,tone", *rows]))
    groups = group_by_file(tmp_path)
    assert [groups[f"{number}.png"] for number in range(8)] == ["dark"] * 4 + ["light"] * 4


def test_json_lines_may_lack_the_value_or_hold_null(tmp_path):
    for number in range(6):
        write_image(tmp_path / f"{number}.png", 20 * number)
    rows = [{"file_name": "0.png"}, {"file_name": "1.png", "tone": None}]
    rows += [{"file_name": f"{number}.png", "tone": "dark"} for number in (2, 3, 4)]
    (tmp_path / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    groups = group_by_file(tmp_path)
    assert [groups[f"{number}.png"] for number in range(6)] == ["none"] * 2 + ["dark"] * 3 + [
        "none"
    ]


def test_groups_of_classes_that_are_left_out_are_left_out(tmp_path):
    rows = ["file_name,tone"]
    for number in range(24):
        write_image(tmp_path / f"{'ab'[number % 2]}/{number}.png", 10 * number)
        tone = "strange" if number % 4 == 0 else ["dark", "light"][number // 2 % 2]
        rows.append(f"{number}.png,{tone}")
    (tmp_path / "metadata.csv").write_text("\n".join(rows))
    real = load_real_images(settings(tmp_path, classes=["b"], n_test=6))
    assert real.groups == ("dark", "light")


def test_another_table_is_told_before_a_run_goes_on(inverted, tmp_path):
    changed = shutil.copytree(inverted, tmp_path / "changed")
    table = changed / "metadata.csv"
    swapped = {"plain": "inverted", "inverted": "plain"}
    rows = [row.rsplit(",", 1) for row in table.read_text().splitlines()]
    table.write_text("\n".join(f"{name},{swapped.get(kind, kind)}" for name, kind in rows))
    hashes = [
        _hash_data(ImageModality(settings(folder, groups="kind", n_test=300)))
        for folder in (inverted, changed)
    ]
    assert hashes[0]["train"] == hashes[1]["train"]
    assert hashes[0]["groups train"] != hashes[1]["groups train"]
    assert "groups train" not in _hash_data(ImageModality(settings(inverted, groups=None)))


def test_the_recall_of_each_group_is_0_where_nothing_is_recalled(inverted):
    modality = ImageModality(settings(inverted, groups="kind", n_test=300))
    measure = Measure(modality, floor_splits=2)
    finish(measure.prepare())
    noise = torch.randint(256, (60, 1, 8, 8), generator=torch.Generator().manual_seed(0)).byte()
    samples = Samples.drawn(noise // 2 + 64)
    scores = finish(measure.scores(samples, modality.features(samples)))
    assert scores.values["recall_by_group"] == {"inverted": 0, "plain": 0}
    assert scores.values["group_recall_disparity"] is None
    assert "every group is 0" in scores.reasons["group_recall_disparity"]


@pytest.fixture(scope="module")
def inverted(tmp_path_factory):
    """The 8 x 8 digits, each fifth with its greys turned round, which the column `kind` says."""
    from sklearn.datasets import load_digits

    folder = tmp_path_factory.mktemp("digits")
    rows = ["file_name,kind"]
    digits = load_digits()
    for number, (image, digit) in enumerate(zip(digits.images, digits.target, strict=True)):
        greys = np.rint(image * 255 / 16).astype(np.uint8)
        kind = "plain"
        if number % 5 == 0:
            kind = "inverted"
            greys = 255 - greys
        (folder / str(digit)).mkdir(exist_ok=True)
        Image.fromarray(greys).save(folder / str(digit) / f"{number:04d}.png")
        rows.append(f"{number:04d}.png,{kind}")
    (folder / "metadata.csv").write_text("\n".join(rows))
    return folder


def test_a_group_that_the_samples_lack_is_recalled_the_least(inverted):
    modality = ImageModality(settings(inverted, groups="kind", n_test=300))
    measure = Measure(modality, floor_splits=10)
    finish(measure.prepare())
    real = modality.real("train")
    plain = modality.groups("train").numbers == modality.groups("train").names.index("plain")

    def scores(samples: Samples) -> Measures:
        return finish(measure.scores(samples, modality.features(samples)))

    samples = Samples.drawn(real.data[:200])
    alike = scores(samples)
    floor = alike.floor["group_recall_disparity"]
    assert floor["low"] <= alike.values["group_recall_disparity"] <= 1
    for group, of_real in alike.values["recall_by_group_of_real"].items():
        assert alike.values["recall_by_group"][group] == pytest.approx(of_real, abs=0.15)

    lost = scores(Samples.drawn(real.data[plain][:200]))
    assert lost.values["group_recall_disparity_group"] == "inverted"
    assert lost.values["group_recall_disparity_interval"][1] < floor["low"]
    assert lost.values["recall_by_group"]["plain"] > 0.7


def test_the_recall_of_all_is_the_mean_of_the_groups_recall(inverted):
    modality = ImageModality(settings(inverted, groups="kind", n_test=300))
    measure = Measure(modality, floor_splits=2)
    finish(measure.prepare())
    samples = Samples.drawn(modality.real("train").data[:150])
    values = finish(measure.scores(samples, modality.features(samples))).values

    groups = modality.groups("test")
    sizes = torch.bincount(groups.numbers).double()
    shares = torch.tensor([values["recall_by_group"][name] for name in groups.names])
    assert float((sizes * shares).sum() / sizes.sum()) == pytest.approx(values["recall_bounded"])


@pytest.mark.slow
def test_groups_are_counted_within_their_intervals(inverted, tmp_path):
    extractor = {"kind": "classifier", "images": 3000}
    modality = ImageModality(settings(inverted, groups="kind", n_test=300, extractor=extractor))
    modality.prepare(tmp_path)
    real = modality.real("test")
    groups = modality.groups("test")
    counted = modality.sample_metrics(Samples.drawn(real.data)).values
    assert counted["group_accuracy"] > 0.95
    for number, name in enumerate(groups.names):
        truth = int((groups.numbers == number).sum())
        assert counted["group_counts_low"][name] <= truth <= counted["group_counts_high"][name]

    plain = groups.numbers == groups.names.index("plain")
    lost = modality.sample_metrics(Samples.drawn(real.data[plain])).values
    assert lost["group_share_disparity_group"] == "inverted"
    assert lost["group_share_disparity"] < 0.2


def test_images_without_a_column_have_no_groups(folder):
    modality = ImageModality(settings(folder, groups=None))
    assert modality.ability(Grouped) is None
    assert load_real_images(settings(folder, groups=None)).train.groups is None
