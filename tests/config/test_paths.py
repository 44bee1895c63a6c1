"""Paths at which there is nothing: the message says where they end and what has a name like it."""

import pytest

from imglab.config.paths import check_not_mistyped, missing_path, nearest_sibling
from imglab.errors import InputError, Problem
from imglab.text.hub import open_tokenizer
from imglab.training.hub import load_hub, of_local_name

REMEDY = "give a folder"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models/smollm2/model").mkdir(parents=True)
    (tmp_path / "models/notes.txt").write_text("x")
    return tmp_path


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("models/smolm2", "models/smollm2"),
        ("./models/smolm2", "./models/smollm2"),
        ("model/smollm2/model", "models/smollm2/model"),
        ("models/smolm2/weights", "models/smollm2"),
        ("models/x", None),
        ("models/notes.txt/x", None),
        ("models", None),
    ],
)
def test_the_nearest_name_where_the_path_ends(folder, name, nearest):
    assert nearest_sibling(name) == nearest
    assert nearest_sibling(str(folder / name)) == (nearest and str(folder / nearest))


def test_the_message_says_where_the_path_ends(folder):
    problem = missing_path("./models/smolm2/model", "model.name", REMEDY)
    ends = f"nothing in {str(folder / 'models')!r} is called 'smolm2'"
    assert problem.what == f"there is no folder './models/smolm2/model': {ends}"
    assert problem.remedy == f"did you mean './models/smollm2/model'? If not, {REMEDY}"
    assert missing_path("elsewhere", "base", REMEDY).remedy == REMEDY
    assert missing_path("models/notes.txt", "base", REMEDY).what.endswith("it is a file")


@pytest.mark.parametrize("name", ["./no/such", "../no", "~/no", "/no", "a/b/c", "a\\b", "a/b/"])
def test_what_can_only_be_a_path_is_not_asked_of_the_hub(folder, name):
    with pytest.raises(InputError, match="there is no folder"):
        check_not_mistyped(name, "model.name", REMEDY)
    with pytest.raises(InputError, match=r"modality\.tokenizer: there is no folder"):
        open_tokenizer(name, None, "modality.tokenizer")
    with pytest.raises(InputError, match=r"modality\.source\.name: there is no folder"):
        load_hub(name, split=None, where="modality.source.name")


def test_a_name_of_the_hub_may_be_like_that_of_a_folder(folder):
    """Only once it did not open is the folder thought of."""
    check_not_mistyped("models/smolm2", "model.name", REMEDY)
    refused = Problem("model.name", "'models/smolm2' did not open: not found", REMEDY)
    problem = of_local_name("models/smolm2", refused)
    assert problem.what.startswith("there is no folder 'models/smolm2'")
    assert problem.what.endswith("as a name of the hub, 'models/smolm2' did not open: not found")
    assert "did you mean 'models/smollm2'?" in problem.remedy

    other = Problem("model.name", "'owner/x' did not open: not found", REMEDY)
    assert of_local_name("owner/x", other) is other
