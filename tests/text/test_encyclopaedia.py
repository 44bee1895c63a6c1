"""The encyclopaedia: what it states is true, and each metric sees its own damage and no other."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Hashable
from functools import partial

import pytest
import torch
from pydantic import ValidationError

from imglab.text.data import load_real_text
from imglab.text.encyclopaedia.articles import article_counts, articles
from imglab.text.encyclopaedia.grammar import (
    FACT_BANDS,
    MOST_WORDS,
    SENTENCES,
    THINGS,
    read_sentence,
)
from imglab.text.encyclopaedia.metrics import FactCheck, _alive, _share
from imglab.text.encyclopaedia.reading import read_sample, split_sentences
from imglab.text.encyclopaedia.words import VALUES
from imglab.text.encyclopaedia.world import World
from imglab.text.encyclopaedia_modality import EncyclopaediaModality, text_modality
from imglab.text.settings import TextSettings
from imglab.text.source_settings import EncyclopaediaSource

SOURCE = EncyclopaediaSource(things=48, articles=1500, zipf=0.7, seed=3)
END = "<|endoftext|>"
SHARES = ("facts_right", "invented_entities", "grammar_kept")
ALIVE = ("entities_alive", "fact_types_alive")


@pytest.fixture(scope="module")
def world():
    return World.of(SOURCE)


@pytest.fixture(scope="module")
def text():
    settings = TextSettings.model_validate(
        {"source": SOURCE.model_dump(), "tokenizer": {"kind": "words"}, "block": 48}
    )
    return load_real_text(settings)


@pytest.fixture(scope="module")
def check(world, text):
    return FactCheck(world, text.tokenizer, text.train, text.test)


def changed(text, change):
    """Change the text of each training block by a function that keeps the number of tokens."""
    texts = [change(each) for each in text.tokenizer.batch_decode(text.train)]
    return torch.tensor(text.tokenizer(texts, add_special_tokens=False)["input_ids"])


class TestTheText:
    def test_every_sentence_is_well_formed_and_true(self, world):
        for article in articles(SOURCE):
            counts = read_sample(f"{END}{article}{END}", world, end=END)
            assert counts.sentences == counts.well_formed > 0
            assert counts.stated == sum(counts.of_band) == sum(counts.right)
            assert counts.invented == 0

    def test_the_same_seed_gives_the_same_text_and_another_seed_other_things(self):
        assert articles(SOURCE) == articles(SOURCE)
        other = World.of(SOURCE.model_copy(update={"seed": 4}))
        names = {thing.name for thing in other.things}
        shared = names & {thing.name for thing in World.of(SOURCE).things}
        assert len(shared) < 5

    def test_the_kinds_have_equal_parts_and_all_names_differ(self, world):
        assert set(Counter(thing.kind for thing in world.things).values()) == {12}
        assert len(world.by_name) == 48

    def test_articles_follow_zipfs_law_and_each_thing_has_one(self):
        counts = article_counts(EncyclopaediaSource(things=100, articles=100_100))
        assert sum(counts) == 100_100
        assert min(counts) > 1
        assert counts[0] / counts[9] == pytest.approx(10, rel=1e-3)
        assert article_counts(EncyclopaediaSource(things=30, articles=30)) == [1] * 30

    @pytest.mark.parametrize("kind", SENTENCES)
    def test_every_wording_is_read_as_it_was_written(self, kind, world):
        thing = next(thing for thing in world.things if thing.kind == kind)
        for sentence in SENTENCES[kind]:
            for wording in sentence.wordings:
                written = wording.format(subject=thing.name, **thing.facts)
                statement = read_sentence(written)
                assert statement is not None
                assert (statement.kind, statement.subject) == (kind, thing.name)
                assert statement.facts == {name: thing.facts[name] for name in sentence.facts}
                assert len(written.split()) <= MOST_WORDS

    def test_no_sentence_can_be_longer_than_is_said(self):
        longest = {
            name: max(len(value.split()) for value in VALUES.get(name, ())) for name in VALUES
        }
        longest |= dict.fromkeys((*THINGS, "subject"), 2)
        for sentences in SENTENCES.values():
            for wording in (wording for each in sentences for wording in each.wordings):
                slots = re.findall(r"\{(\w+)\}", wording)
                words = len(wording.split()) + sum(longest[slot] - 1 for slot in slots)
                assert words <= MOST_WORDS


class TestReading:
    def test_what_may_be_half_a_sentence_is_left_out(self):
        text = f"in Old Kelm. One. Two.{END}Three. No end{END}Four. The begin"
        assert list(split_sentences(text, END)) == ["One.", "Two.", "Three.", "No end", "Four."]

    def test_a_text_without_full_stops_is_a_bad_sentence(self):
        assert len(list(split_sentences("the of " * MOST_WORDS, END))) == 1

    def test_statements_are_counted_by_hand(self, world):
        one, two = [thing for thing in world.things if thing.kind == "place"][:2]
        right = f"{one.name} has {one.facts['population']} inhabitants."
        wrong = f"{one.name} is twinned with {one.name}."
        invented = f"Old Nowhere is twinned with {two.name}."
        shuffled = f"has {one.name} inhabitants 400."

        unknown = right.replace(one.name, "Old <unk>")
        nowhere = f"{one.name} is twinned with Old Nowhere."

        texts = (right, wrong, invented, shuffled, right, unknown, nowhere)
        counts = read_sample(f"x. {' '.join(texts)} {two.name}", world, end=END)
        assert (counts.sentences, counts.well_formed) == (7, 5)
        assert (counts.mentions, counts.invented) == (8, 2)
        assert (counts.stated, counts.of_band, counts.right) == (5, [4, 0, 0], [2, 0, 0])
        assert counts.things == {one.rank}
        assert counts.fact_types == {("place", "population"), ("place", "twin")}
        assert counts.facts == {(one.rank, "population")}


class TestTheMetrics:
    def test_real_text_is_all_right(self, check, text):
        measures = check.metrics(text.train)
        assert [measures.values[name] for name in SHARES] == [1, 0, 1]
        assert [measures.values[f"{name}_se"] for name in SHARES] == [0, 0, 0]

        # Held-out text may have words that the training text lacks.
        assert [measures.floor[name]["mean"] for name in SHARES[:2]] == [1, 0]
        assert 0.995 < measures.floor["grammar_kept"]["mean"] < 1
        for name in (*ALIVE, "facts_alive"):
            assert measures.values[name] == pytest.approx(measures.floor[name]["mean"], abs=0.02)

    def test_things_that_change_places_lower_what_is_true_alone(self, check, text, world):
        others: dict[str, str] = {}
        for kind in SENTENCES:
            names = [thing.name for thing in world.things if thing.kind == kind]
            others |= dict(zip(names, names[1:] + names[:1], strict=True))
        pattern = re.compile("|".join(others))

        # Names are in a sentence in part where a block begins or ends with one.
        measures = check.metrics(
            changed(text, lambda each: pattern.sub(lambda m: others[m[0]], each))
        )
        values = measures.values
        assert values["facts_right"] < 0.3
        assert values["facts_alive"] < 0.3
        assert (values["invented_entities"], values["grammar_kept"]) == (0, 1)
        for name in ALIVE:
            assert values[name] == check.metrics(text.train).values[name]

    def test_shuffled_words_lower_grammar_kept_alone(self, check, text):
        generator = torch.Generator().manual_seed(0)

        def shuffle(sentence):
            words = re.findall(r"\w+|[^\w\s]", sentence[0])
            order = torch.randperm(len(words), generator=generator)
            return f" {' '.join(words[at] for at in order)} "

        def half(each):
            if torch.rand((), generator=generator) < 0.5:
                return each
            return re.sub(r"[^.<>|]+(?=\.)", shuffle, each)

        values = check.metrics(changed(text, half)).values
        assert 0.4 < values["grammar_kept"] < 0.6
        assert (values["facts_right"], values["invented_entities"]) == (1, 0)
        for name in ALIVE:
            assert values[name] == check.metrics(text.train).values[name]

    def test_dropped_rare_things_lower_entities_alive_alone(self, check, text, world):
        rare = {thing.rank for thing in world.things if world.band(thing) == 2}
        read = partial(read_sample, world=world, end=END)
        rows = [not read(each).things & rare for each in text.tokenizer.batch_decode(text.train)]
        values = check.metrics(text.train[torch.tensor(rows)]).values

        assert values["entities_alive_by_band"] == {"frequent": 1, "middle": 1, "rare": 0}
        assert values["entities_alive"] == pytest.approx(2 / 3)
        assert values["facts_alive_by_band"]["rare"] == 0
        assert [values[name] for name in (*SHARES, "fact_types_alive")] == [1, 0, 1, 1]

    def test_dropped_rare_sentences_lower_fact_types_alive_alone(self, check, text, world):
        dropped = re.compile("|".join(["fair", "married", "letters", "door", "medal", "call"]))
        rows = [not dropped.search(each) for each in text.tokenizer.batch_decode(text.train)]
        values = check.metrics(text.train[torch.tensor(rows)]).values
        n = sum(band == 2 for band in FACT_BANDS.values())
        assert values["fact_types_alive_by_band"] == {
            "frequent": 1,
            "middle": 1,
            "rare": pytest.approx(1 - 5 / n),
        }
        assert [values[name] for name in (*SHARES, "entities_alive")] == [1, 0, 1, 1]

    def test_names_of_nothing_are_invented_and_nothing_is_true_of_them(self, check, text, world):
        invent = re.compile(r"(?<=Old|New) [A-Z]\w+")
        known = {thing.name for thing in world.things}
        stems = {f" {thing.name.split()[1]}" for thing in world.things if thing.kind == "place"}
        nowhere = {
            adjective: next(stem for stem in sorted(stems) if f"{adjective}{stem}" not in known)
            for adjective in ("Old", "New")
        }
        after = changed(
            text, lambda each: invent.sub(lambda m: nowhere[each[m.start() - 3 : m.start()]], each)
        )
        values = check.metrics(after).values
        assert 0.02 < values["invented_entities"] < 0.4
        assert 0.5 < values["facts_right"] < 1 - values["invented_entities"] / 2
        assert values["grammar_kept"] == 1

    def test_of_another_world_all_is_well_formed_and_nothing_true(self, text):
        other = World.of(SOURCE.model_copy(update={"seed": 4}))
        check = FactCheck(other, text.tokenizer, text.train, text.test)
        values = check.metrics(text.train).values
        assert [values[name] for name in SHARES] == pytest.approx([0, 1, 1], abs=0.01)
        assert (values["entities_alive"], values["facts_alive"]) == (0, 0)

    def test_a_sentence_with_an_unknown_word_is_not_well_formed(self, world):
        source = {**SOURCE.model_dump(), "articles": 300}
        settings = {"source": source, "block": 48}
        settings["tokenizer"] = {"kind": "words", "vocabulary": 250}
        text = load_real_text(TextSettings.model_validate(settings))
        measures = FactCheck(world, text.tokenizer, text.train, text.test).metrics(text.test)

        blocks = text.tokenizer.batch_decode(text.test)
        sentences = [each for block in blocks for each in split_sentences(block, END)]
        share = sum("<unk>" not in sentence for sentence in sentences) / len(sentences)
        assert 0.5 < share < 0.9
        assert measures.values["grammar_kept"] == pytest.approx(share)
        assert measures.floor["grammar_kept"]["mean"] == pytest.approx(share)

    def test_text_that_is_never_well_formed_states_nothing(self, check, text):
        measures = check.metrics(text.train.flip(1))
        assert measures.values["grammar_kept"] == 0
        assert measures.values["facts_right"] is None
        assert measures.values["entities_alive"] == 0
        assert measures.values["facts_right_by_band"]["rare"] is None
        assert set(measures.reasons) == {"facts_right", "invented_entities"}

    def test_the_error_of_a_share_of_single_things_is_the_binomial_one(self):
        part = torch.tensor([1.0] * 30 + [0.0] * 70, dtype=torch.float64)
        share = _share("x", part, torch.ones(100, dtype=torch.float64))
        assert share["x"] == pytest.approx(0.3)
        assert share["x_se"] == pytest.approx((0.3 * 0.7 / 99) ** 0.5)

    def test_the_error_of_what_is_alive_is_that_of_samples_drawn_again(self):
        bands: dict[Hashable, int] = {"often": 0, "once": 1, "never": 2}
        seen: Counter[Hashable] = Counter({"often": 10, "once": 1})
        alive = _alive("x", bands, seen, 10)
        missing = 0.9**10
        assert alive["x"] == pytest.approx(2 / 3)
        assert alive["x_se"] == pytest.approx((missing * (1 - missing)) ** 0.5 / 3)
        assert alive["x_by_band"] == {"frequent": 1, "middle": 1, "rare": 0}


class TestTheModality:
    def test_it_adds_its_metrics_to_those_of_text(self):
        section = {
            "source": {"kind": "encyclopaedia", "things": 12, "articles": 100},
            "tokenizer": "words",
            "token_budget": 1024,
        }
        modality = text_modality(TextSettings.model_validate(section))
        assert isinstance(modality, EncyclopaediaModality)
        values = modality.sample_metrics(modality.real("test")).values
        assert {"facts_right", "repetition"} <= set(values)
        assert modality.headline[0] == "facts_right"

    @pytest.mark.parametrize(
        "keys", [{"things": 0}, {"articles": 50}, {"zipf": -1}, {"entities": 20}, {"seed": -1}]
    )
    def test_bad_keys_are_refused(self, keys):
        with pytest.raises(ValidationError):
            EncyclopaediaSource.model_validate({"kind": "encyclopaedia", **keys})
