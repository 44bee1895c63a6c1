"""Known damage to text: words move or go, and all blocks keep their length."""

from __future__ import annotations

import pytest
import torch

from imglab.metrics.damage import draw
from imglab.modality import Damageable
from imglab.text import damage as text_damage
from imglab.text.damage import Texts, text_damages
from tests.text_fixtures import text_parts

N = 12
TEXT = "The cat sat. It saw 12 dogs.\n\nThen Anna came home! Why?"


@pytest.fixture(scope="module")
def modality():
    return text_parts({"block": 32, "n_test": 40}, {"window": 64})[0]


@pytest.fixture(scope="module")
def pool(modality):
    return modality.real("test")


@pytest.fixture(scope="module")
def damages(modality):
    return {each.name: each for each in text_damages(modality.tokenizer, modality.real("train"))}


def changed(change, texts, strength=1.0, seed=0):
    return change(texts, strength, torch.Generator().manual_seed(seed))


def test_text_can_be_damaged(modality):
    assert modality.ability(Damageable) is modality


def test_every_damage_gives_as_many_blocks_of_one_length(damages, pool):
    for name, damage in damages.items():
        one, other = (damage.apply(pool, N, strength=0.5, seed=3).data for _ in range(2))
        assert one.shape == (N, 32), name
        assert one.dtype == torch.int64
        assert torch.equal(one, other), name


def test_without_strength_the_tokens_stay(damages, pool):
    for name, damage in damages.items():
        if name == "drop_type":  # leaves out one topic at least
            continue
        rows = damage.apply(pool, N, strength=1e-9, seed=3).data
        assert (rows[:, None] == pool.data[None]).all(2).any(1).all(), name


def test_encoding_again_is_no_damage_of_its_own(modality, pool):
    def touched(texts, strength, generator):
        return [f"{text}{text}" for text in texts]  # differs, so that it is encoded again

    again = Texts(modality.tokenizer).changed(touched, pool, len(pool), strength=1, seed=3).data
    before = draw(pool, len(pool), seed=3).data
    assert (again == before)[:, :-4].double().mean() > 0.9  # but for words cut by the block's edges


def test_words_are_shuffled_within_sentences():
    (after,) = changed(text_damage._shuffle_words, [TEXT], seed=1)
    assert after != TEXT
    for before, now in zip(TEXT.split("\n\n"), after.split("\n\n"), strict=True):
        assert sorted(before.split()) == sorted(now.split())
    assert changed(text_damage._shuffle_words, [TEXT], 0) == [TEXT]


def test_sentences_are_shuffled_whole():
    (after,) = changed(text_damage._sentences, [TEXT], seed=2)
    assert after != TEXT
    assert all(part.strip() in after for part in text_damage.SENTENCE_END.split(TEXT))


def test_reversed_text_has_the_same_words_backwards():
    (after,) = changed(text_damage._reverse, [TEXT])
    assert after.split() == TEXT.split()[::-1]


def test_only_facts_are_replaced():
    texts = [TEXT, "In 1999 Berta and 7 others left Oslo."]
    after = changed(text_damage._facts, texts, seed=4)
    assert after != texts
    for one, other in zip(texts, after, strict=True):
        assert text_damage.FACT.sub("_", one) == text_damage.FACT.sub("_", other)
        for before, now in zip(*(text_damage.FACT.findall(t) for t in (one, other)), strict=True):
            assert before[0].isdigit() == now[0].isdigit()


def test_the_rarest_words_go_first():
    (after,) = changed(text_damage._no_rare_words, ["b a c a b a d a e a a"])
    assert after == "b a a b a a e a a"  # a fifth of eleven words: two


def test_unigrams_keep_the_spaces():
    (after,) = changed(text_damage._unigrams, [TEXT])
    assert set(after.split()) <= set(TEXT.split())
    assert after.count("\n\n") == 1


def test_halves_repeats_and_copies(damages, modality, pool):
    blocks = {tuple(row[16:].tolist()) for row in pool.data}
    halves = damages["halves"].apply(pool, N, strength=1, seed=3).data
    assert all(tuple(row[16:].tolist()) in blocks for row in halves)
    assert not (halves[:, None] == pool.data[None]).all(2).any()

    repeats = damages["repeat_phrases"].apply(pool, N, strength=1, seed=3).data
    assert torch.equal(repeats[:, 6:], repeats[:, :-6])
    copies = damages["copy"].apply(pool, N, strength=0.5, seed=3).data
    is_copy = (copies[:, None] == modality.real("train").data[None]).all(2).any(1)
    assert is_copy.sum() >= N // 2


def test_a_topic_is_left_out():
    texts = [f"apple pear plum {n}" for n in range(8)] + [
        f"wheel brake motor {n}" for n in range(100, 132)
    ]
    topics = text_damage._topics(texts, 0)
    assert set(topics[:8].tolist()).isdisjoint(topics[8:].tolist())
