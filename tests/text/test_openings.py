"""The panel: one held-out opening, chosen by a rule, that every generation continues."""

from __future__ import annotations

import pytest
import torch

from imglab.config.load import validate_config
from imglab.measures import Continuation
from imglab.running.run import Run
from imglab.samples import TrainingSet
from imglab.text.modality import TextModality
from imglab.text.openings import MOST_OPENINGS, real_openings, write_panel
from imglab.text.render import readable
from imglab.text.scoring import score_tokens
from tests.text_fixtures import TINY_TEXT, finish, text_parts


class TestOpenings:
    def test_are_how_long_documents_begin(self):
        documents = [[n] * length for n, length in enumerate((8, 3, 9, 8, 2))]
        openings = real_openings(documents, torch.zeros(5, 4, dtype=torch.int64))
        assert openings.tolist() == [[0] * 8, [2] * 8, [3] * 8]

    def test_are_blocks_where_few_documents_are_so_long(self):
        blocks = torch.arange(20).view(5, 4)
        openings = real_openings([[0] * 8, [1] * 8], blocks)
        assert openings.tolist() == [list(range(8)), list(range(8, 16))]

    def test_of_many_some_from_everywhere(self):
        documents = [[n] * 2 for n in range(1000)]
        openings = real_openings(documents, torch.zeros(2, 1, dtype=torch.int64))
        assert len(openings) == MOST_OPENINGS
        assert int(openings[-1, 0]) > 950

    def test_nothing_to_continue(self):
        modality, model = text_parts({"n_test": 1}, {"kind": "ngram", "order": 2})
        modality._text = type(modality._text)(
            **{**vars(modality._text), "openings": torch.empty(0, 32)}
        )
        fitted = finish(model.fit(TrainingSet.of(modality.real("train")), start=None, seed=0))
        assert modality.continuation(fitted, first=None, seed=0) is None


def test_the_opening_is_the_one_of_median_perplexity_under_generation_0():
    modality, model = text_parts(model={"kind": "ngram", "order": 2})
    fitted = finish(model.fit(TrainingSet.of(modality.real("train")), start=None, seed=0))
    openings = modality._text.openings
    first = modality.continuation(fitted, first=None, seed=4)
    likelihood = score_tokens(fitted.network, openings, 31).log_likelihood.mean(1)
    lower = int((likelihood > likelihood[first.row]).sum())
    assert first.among == len(openings)
    assert lower == (len(openings) - 1) // 2
    reading = (modality.tokenizer, modality.tokenizer.eos_token)
    assert first.opening == readable(openings[first.row, :16], *reading)
    assert first.real == readable(openings[first.row, 16:], *reading)

    shorter = finish(model.fit(TrainingSet.of(modality.real("test")), start=None, seed=0))
    second = modality.continuation(shorter, first=first, seed=4)
    assert (second.row, second.perplexity) == (first.row, first.perplexity)
    assert second.text != first.text


def test_the_panel_as_text():
    def of(text):
        return Continuation("It was \x1b[31m", "in May.", text, row=3, among=12, perplexity=27.51)

    sheet = write_panel({0: of("a b c d"), 4: of("x y z x y z")})
    lines = sheet.splitlines()
    assert sheet.startswith("One held-out opening, the one of 12 of median perplexity")
    assert "(27.5)" in sheet
    assert "¶ ends a document" in " ".join(lines)
    assert "\x1b" not in sheet
    assert "generation 0   a b c d" in lines
    assert "generation 4   x y z [x y z]" in lines


@pytest.mark.slow
def test_a_run_that_began_without_a_panel_goes_on_without(tmp_path, monkeypatch):
    tree = {
        "name": "old",
        "generations": 2,
        "shown": 2,
        "modality": TINY_TEXT,
        "model": {"kind": "ngram", "order": 2},
        "measure": {"gate": "none"},
    }
    config = validate_config(tree, "test")
    with monkeypatch.context() as older:
        older.setattr(TextModality, "continuation", lambda *_, **__: None)
        next(Run(config, tmp_path / "run").generations())
    assert len(list(Run(config, tmp_path / "run").generations())) == 2
    assert not list((tmp_path / "run").rglob("panel.json"))
    sheet = (tmp_path / "run" / "generation_001" / "sheet.txt").read_text()
    assert sheet.startswith("The same prompts continued by every generation")
