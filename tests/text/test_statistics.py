"""Text statistics against hand-worked examples, limits and closed forms."""

from __future__ import annotations

import gzip
import re
import unicodedata
from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from imglab import seeds
from imglab.text import statistics
from imglab.text.statistics import (
    WordIndex,
    band_names,
    distinct,
    gzip_ratio,
    repetition,
    survival,
    words,
    zipf_slope,
)
from imglab.text.subsamples import SubsampleStatistics
from tests.text_fixtures import text_parts


def test_distinct_counts_different_ngrams_within_texts():
    tokens = torch.tensor([[1, 2, 1, 2], [2, 1, 2, 3]])
    assert distinct(tokens, 1) == 3 / 8
    assert distinct(tokens, 2) == 3 / 6, "12 21 12 | 21 12 23: the pair across the border is none"
    assert distinct(tokens, 3) == 3 / 4, "121 212 | 212 123"


def test_repetition_is_the_share_of_ngrams_that_came_before():
    tokens = torch.tensor([[1, 2, 3, 4, 5, 6], [7, 7, 7, 7, 7, 7], [1, 2, 1, 2, 1, 2]])
    assert repetition(tokens).tolist() == [0.0, 2 / 3, 1 / 3]
    assert repetition(tokens, 2).tolist() == [0.0, 4 / 5, 3 / 5]


@given(
    st.lists(st.lists(st.integers(0, 5), min_size=6, max_size=6), min_size=1, max_size=8),
    st.integers(1, 4),
)
def test_distinct_and_repetition_equal_plain_counting(rows, n):
    grams = [[tuple(row[at : at + n]) for at in range(6 - n + 1)] for row in rows]
    every = [gram for row in grams for gram in row]
    # Large token numbers: n-grams of a real vocabulary would overflow 64 bits if they were numbered
    # naively.
    tokens = torch.tensor(rows) + 2**40
    assert distinct(tokens, n) == pytest.approx(len(set(every)) / len(every))
    assert repetition(tokens, n).tolist() == pytest.approx(
        [1 - len(set(row)) / len(row) for row in grams]
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("हिन्दी भाषा", ["हिन्दी", "भाषा"]),
        ("مُحَمَّد يَكْتُبُ", ["مُحَمَّد", "يَكْتُبُ"]),
        ("தமிழ் மொழி", ["தமிழ்", "மொழி"]),
        ("שָׁלוֹם עוֹלָם", ["שָׁלוֹם", "עוֹלָם"]),
        ("צה״ל", ["צה״ל"]),
        ("می\u200cخواهم", ["می\u200cخواهم"]),  # noqa: RUF001
        ("한국어 텍스트", ["한국어", "텍스트"]),
        ("天地, 人 abc", ["天", "地", "人", "abc"]),
        ("コーヒーを飲む", ["コーヒー", "を", "飲", "む"]),
        ("ลัง", ["ลั", "ง"]),
        ("\U0001f468\u200d\U0001f469\u200d\U0001f467 hello \u2764\ufe0f", ["hello"]),
        ("Zu\u00adcker foo_bar a1b don\u2019t", ["zucker", "foo", "bar", "a", "b", "don\u2019t"]),
    ],
)
def test_words_are_those_that_people_count(text, expected):
    composed = [unicodedata.normalize("NFC", word) for word in expected]
    assert words(text) == composed


@settings(max_examples=30)
@given(st.text(st.characters(codec="utf-8"), max_size=20))
def test_words_do_not_depend_on_how_unicode_writes_a_letter(text):
    lower = text.lower()
    decomposed = words(unicodedata.normalize("NFD", lower))
    assert decomposed == words(unicodedata.normalize("NFC", lower)) == words(lower)


@given(st.text("abcXYZ ,.'-0_\n", max_size=60))
def test_words_of_ascii_are_runs_of_letters(text):
    assert words(text) == re.findall(r"[a-z]+(?:'[a-z]+)*", text.lower())


def test_gzip_ratio():
    text = "the same words again and again, " * 100
    assert gzip_ratio(text) == len(gzip.compress(text.encode(), 9)) / len(text)
    assert gzip_ratio(text) < 0.05


def test_zipf_slope_of_exact_power_laws():
    ranks = torch.arange(1, 200).double()
    for slope in (-0.5, -1.0, -2.0):
        counts = (1e9 * ranks**slope).round().long()
        assert zipf_slope(counts[torch.randperm(199)]) == pytest.approx(slope, abs=1e-4)
    assert zipf_slope(torch.tensor([4, 1, 0])) == pytest.approx(-2.0), (
        "log 4 over log 2, without the word that is none"
    )
    assert zipf_slope(torch.tensor([5, 5, 5])) is None
    assert zipf_slope(torch.tensor([5])) is None


def test_words_are_runs_of_letters():
    assert words("Don't stop: x_1 na\u00efve L\u2019\u00e9t\u00e9, 42 caf\u00e9s") == [
        "don't",
        "stop",
        "x",
        "na\u00efve",
        "l\u2019\u00e9t\u00e9",
        "caf\u00e9s",
    ]


def test_survival_by_band():
    index = WordIndex(["one two two three three three three"])
    real, left = (
        index.counts("one two two three three three three"),
        index.counts("three TWO unheard"),
    )
    assert survival(real, left, 1, 1) == 0.0, "'one' is gone"
    assert survival(real, left, 2, 3) == 1.0
    assert survival(real, left, 1, None) == pytest.approx(2 / 3)
    assert survival(real, left, 32, None) is None, "there is no such word"
    assert band_names() == ["1", "2-3", "4-7", "8-15", "16-31", "32+"]


@pytest.fixture(scope="module")
def parts():
    modality, _ = text_parts({"n_train": 400, "n_test": 100})
    real = modality.real("train").data
    return real, SubsampleStatistics(real, modality.real("test").data, modality.tokenizer, 64 * 16)


class TestPortions:
    def test_all_are_taken_at_one_budget_with_an_error_and_a_floor(self, parts):
        real, portions = parts
        found = portions.metrics(real)
        assert found.values["token_budget"] == 64 * 16
        for name in (
            "distinct_1",
            "distinct_2",
            "distinct_3",
            "gzip_ratio",
            "zipf_slope",
            "rare_word_survival",
        ):
            floor = found.floor[name]
            assert floor["sd"] > 0
            # The training text against floors of training and test text: of one kind, but for rare
            # words, which a
            # portion of the training text has itself.
            if name != "rare_word_survival":
                assert abs(found.values[name] - floor["mean"]) < 8 * (
                    floor["sd"] + found.values[f"{name}_se"]
                ), name
        assert found.values["rare_word_survival"] > found.floor["rare_word_survival"]["mean"]

    def test_the_floor_of_rare_words_equals_plain_counting(self, parts):
        """Rare words are those of the rest of the real text, test part included; a portion keeps
        some.
        """
        real, portions = parts
        floor = portions.metrics(real).floor["rare_word_survival"]["mean"]
        everything = torch.cat([real, portions.held_out])
        found = []
        for split in range(20):
            order = torch.randperm(500, generator=seeds.generator("text floor", split))
            rest, portion = everything[order[64:]], everything[order[:64]]
            counts = Counter(
                words("\n".join(portions.tokenizer.batch_decode(rest, skip_special_tokens=True)))
            )
            left = set(
                words("\n".join(portions.tokenizer.batch_decode(portion, skip_special_tokens=True)))
            )
            rare = [word for word, count in counts.items() if count <= 7]
            found.append(sum(word in left for word in rare) / len(rare))
        # Plain counting cuts the words at the borders of blocks in the rest too: some rare "words"
        # more.
        assert floor == pytest.approx(sum(found) / 20, rel=0.25)

    def test_twice_the_samples_give_the_same_value_and_a_smaller_error(self, parts):
        real, portions = parts
        some, more = portions.metrics(real[:128]), portions.metrics(real[:384])
        assert some.values["token_budget"] == more.values["token_budget"]
        assert abs(some.values["distinct_2"] - more.values["distinct_2"]) < 0.05
        assert more.floor["distinct_2"]["sd"] < some.floor["distinct_2"]["sd"]

    def test_text_that_repeats_itself_shows(self, parts):
        real, portions = parts
        one = portions.metrics(real[:1].expand(128, -1))
        assert one.values["distinct_1"] < 0.02
        assert one.values["gzip_ratio"] < 0.1
        assert one.values["rare_word_survival"] < 0.02

    def test_one_token_text_is_undefined_where_it_must_be(self, parts):
        _, portions = parts
        dull = portions.metrics(torch.full((128, 16), 40))
        assert dull.values["zipf_slope"] is None
        assert dull.reasons["zipf_slope"]
        assert dull.values["repetition"] == pytest.approx(12 / 13)


def test_rare_words_are_the_three_rarest_bands():
    assert statistics.BANDS[2][1] == statistics.RARE
