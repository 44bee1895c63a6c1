"""Groups of documents that a column names: of blocks, what is recalled of each, how many."""

from __future__ import annotations

import gzip
import json
import random

import pytest
import torch
from pydantic import ValidationError

from imglab.check import check_modality
from imglab.errors import InputError
from imglab.groups import Grouped
from imglab.measure import Measure
from imglab.progress import finish
from imglab.running.environment import _hash_data
from imglab.samples import Samples
from imglab.text.corpus import Corpus, read_corpus
from imglab.text.data import load_real_text, text_blocks
from imglab.text.encyclopaedia_modality import text_modality
from imglab.text.group_columns import GroupedTokens, check_column, group_names
from imglab.text.modality import TextModality
from imglab.text.ngram import NgramModel
from imglab.text.settings import NgramSettings, TextSettings
from imglab.text.source_settings import FilesSource, HubSource

WORDS = {"sea": "wave tide salt reef", "wood": "leaf root bark moss", "none": "dust sand grit clay"}
"""Words that the documents of each group are made of, and nothing else."""


def rows(count: int = 300) -> list[dict[str, object]]:
    """Documents of 30 to 60 words of one group each, half of them of the sea."""
    draws = random.Random(0)
    listed: list[dict[str, object]] = []
    for number in range(count):
        name = ["sea", "wood", "sea", "none"][number % 4]
        text = " ".join(draws.choice(WORDS[name].split()) for _ in range(draws.randint(30, 60)))
        listed.append({"text": text, "topic": None if name == "none" else name})
    return listed


SHORT = [{"text": "a b c", "topic": number % 3 > 1} for number in range(900)]
"""Documents of which twenty fill a block of 64 words."""

LONG = [{"text": "a b " * 100, "topic": number % 3} for number in range(9)]
"""Documents of 200 words."""


def write_lines(path, listed) -> str:
    path.write_text("\n".join(map(json.dumps, listed)) + "\n")
    return str(path)


def settings(path: str, **keys) -> TextSettings:
    tree = {
        "source": {"kind": "files", "path": path},
        "tokenizer": {"kind": "words"},
        "extractor": {"kind": "sequence_encoder", "tokens": 40_000, "width": 32, "layers": 1},
        "block": 16,
        "groups": "topic",
    }
    return TextSettings.model_validate({**tree, **keys})


@pytest.fixture(scope="module")
def lines(tmp_path_factory) -> str:
    return write_lines(tmp_path_factory.mktemp("lines") / "texts.jsonl", rows())


@pytest.fixture(scope="module")
def modality(lines) -> TextModality:
    return TextModality(settings(lines))


def most_words_of(text: str) -> set[str]:
    """Return the groups that have most of the words of a text."""
    counts = {name: sum(word in words for word in text.split()) for name, words in WORDS.items()}
    return {name for name, count in counts.items() if count == max(counts.values())}


class TestBlocks:
    def test_a_block_is_of_the_group_that_most_of_its_tokens_belong_to(self):
        tokens = GroupedTokens([[0] * 3, [0] * 5, [0] * 2, [0] * 7], ["b", "a", "b", "c"])
        # b b b a | a a a a | b b c c | c c c c, and one more
        assert tokens.blocks(4, 4) == ["b", "a", "b", "c"]
        assert tokens.blocks(4, 2) == ["b", "a"]
        assert tokens.blocks(2, 8) == ["b", "a", "a", "a", "b", "c", "c", "c"]

    def test_of_ids_on_a_large_corpus_it_takes_no_time(self):
        tokens = GroupedTokens([[0] * 20] * 50_000, [f"id{n}" for n in range(50_000)])
        assert len(set(tokens.blocks(20, 50_000))) == 50_000

    def test_blocks_of_a_document_are_no_independent_samples(self):
        tokens = GroupedTokens([[0] * 12, [0] * 4, [0] * 2, [0] * 2], ["a"] * 4)
        assert tokens.documents_per_block(4, 3) == 1 / 3
        assert tokens.documents_per_block(4, 4) == 2 / 4
        assert tokens.documents_per_block(4, 5) == 4 / 5
        assert tokens.documents_per_block(2, 10) == 4 / 10

    @pytest.mark.parametrize("keys", [{}, {"n_fresh": 40}, {"n_train": 30, "n_test": 9}])
    def test_each_block_of_a_run_has_the_group_of_its_words(self, lines, keys):
        real = load_real_text(settings(lines, **keys))
        for groups, blocks in zip(real.groups.values(), (real.train, real.test), strict=True):
            assert groups.names == ("none", "sea", "wood")
            assert len(groups.numbers) == len(blocks)
            texts = real.tokenizer.batch_decode(blocks, skip_special_tokens=True)
            # The end of a document counts for its group, but is no word of it.
            right = [
                groups.names[number] in most_words_of(text)
                for number, text in zip(groups.numbers.tolist(), texts, strict=True)
            ]
            assert sum(right) >= 0.95 * len(right)

    def test_the_first_blocks_keep_their_groups(self, modality):
        shorter = modality.shortened(settings("unread", n_train=20, n_test=5))
        assert torch.equal(shorter.groups("train").numbers, modality.groups("train").numbers[:20])
        assert len(shorter.groups("test").numbers) == len(shorter.real("test")) == 5


class TestReading:
    def groups(self, path, **keys) -> list[str] | None:
        corpus = read_corpus(FilesSource(path=str(path), **keys), group="topic")
        assert corpus.train_groups is not None
        return list(corpus.train_groups)

    def test_cells_of_numbers(self, tmp_path):
        """NaN is a null of tables, and makes whole numbers floats."""
        path = tmp_path / "a.jsonl"
        write_lines(path, [{"text": "a", "topic": topic} for topic in (1, 1.0, 1.5, float("nan"))])
        assert self.groups(path) == ["1", "1", "1.5", "none"]

    def test_what_is_not_a_name_is_told_from_one(self):
        with pytest.raises(InputError, match="holds bytes, not names"):
            group_names([b"sea"], "topic", "a.parquet")
        with pytest.raises(InputError, match="several columns 'topic'"):
            check_column("topic", ["text", "topic", "topic"], "text", "a.parquet")

    def test_cells_that_are_blank_null_or_not_there_are_the_group_none(self, tmp_path):
        topics: list[object] = ["sea", " ", None, 7]
        cells = [{}, *({"topic": topic} for topic in topics)]
        path = tmp_path / "a.jsonl"
        write_lines(path, [{"text": "a text", **cell} for cell in cells])
        assert self.groups(path) == ["none", "sea", "none", "none", "7"]

    @pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.csv.gz"])
    def test_tables(self, tmp_path, name):
        mark = "\t" if ".tsv" in name else ","
        content = f"text{mark}topic\na text{mark}sea\nanother{mark}\nthe third{mark}wood\n"
        path = tmp_path / name
        path.write_bytes(gzip.compress(content.encode()) if ".gz" in name else content.encode())
        assert self.groups(path) == ["sea", "none", "wood"]

    def test_parquet_and_a_corpus_of_the_hub(self, tmp_path):
        arrow = pytest.importorskip("pyarrow")
        pytest.importorskip("datasets")
        from pyarrow.parquet import write_table

        for split in ("train", "test"):
            table = arrow.table({"text": ["a text", "", "b"], "topic": ["sea", "wood", None]})
            write_table(table, tmp_path / f"{split}.parquet")
        assert self.groups(tmp_path) == ["sea", "none"]
        hub = read_corpus(HubSource(name=str(tmp_path)), group="topic")
        assert (hub.train, hub.train_groups) == (["a text", "b"], ["sea", "none"])
        assert hub.test_groups == ["sea", "none"]

    def test_classes_of_the_hub_have_names(self, tmp_path):
        """AG News and the like store numbers, whose names lie beside them."""
        datasets = pytest.importorskip("datasets")
        features = {
            "text": datasets.Value("string"),
            "topic": datasets.ClassLabel(names=list(WORDS)),
        }
        for split in ("train", "test"):
            columns = {"text": ["a", "b"], "topic": [1, None]}
            part = datasets.Dataset.from_dict(columns, features=datasets.Features(features))
            part.to_parquet(str(tmp_path / f"{split}.parquet"))
        hub = read_corpus(HubSource(name=str(tmp_path)), group="topic")
        assert hub.train_groups == ["wood", "none"]

    def test_what_is_cut_from_a_text_is_of_its_group(self, tmp_path):
        texts = ["= A =\nIt is old. A <unk> lies.\n= B =\n<unk> is.", "= C =\nIt is new."]
        lines = [{"text": text, "topic": topic} for text, topic in zip(texts, "pq", strict=True)]
        path = tmp_path / "a.jsonl"
        write_lines(path, lines)
        keys = {"document_start": "^= ", "leave_out": "<unk>"}
        assert self.groups(path, **keys) == ["p", "p", "q"]

    def test_rows_of_splits_keep_their_groups(self, tmp_path):
        path = tmp_path / "a.jsonl"
        cells = [("x", "sea", "train"), ("y", "wood", "test"), ("z", "wood", "train")]
        names = ("text", "topic", "split")
        write_lines(path, [dict(zip(names, each, strict=True)) for each in cells])
        corpus = read_corpus(FilesSource(path=str(path)), group="topic")
        assert (corpus.train, corpus.train_groups) == (["x", "z"], ["sea", "wood"])
        assert (corpus.test, corpus.test_groups) == (["y"], ["wood"])

    def test_the_column_of_groups_is_not_taken_for_that_of_the_texts(self, tmp_path):
        path = tmp_path / "a.jsonl"
        write_lines(path, [{"review": "It was good.", "topic": "sea"}])
        assert read_corpus(FilesSource(path=str(path)), group="topic").train == ["It was good."]
        with pytest.raises(InputError, match="several columns"):
            read_corpus(FilesSource(path=str(path)))

    def test_the_encyclopaedia_has_four_kinds_of_articles(self):
        source = {"kind": "encyclopaedia", "things": 12, "articles": 48}
        text = text_modality(settings("unread", source=source, groups="kind"))
        assert text.groups("train").names == ("animal", "building", "person", "place")
        assert "4 groups in 'kind', by blocks: " in text.data_line

    @pytest.mark.parametrize(
        ("listed", "keys", "message"),
        [
            (rows(8), {"groups": "topics"}, "did you mean 'topic'"),
            (rows(8), {"groups": "text"}, "'text' of .* is the column of the texts"),
            ([{"text": "a", "topic": ["sea"]}], {}, "holds lists, not names of groups"),
            ([{"text": "a b " * 40, "topic": "sea"}] * 9, {}, "all documents are of one group, 's"),
            ([{"text": f"a b {n} " * 9, "topic": n} for n in range(30)], {}, "values for .* no gr"),
            ([{"text": "a b ", "topic": n % 201} for n in range(500)], {}, "201 groups, more th"),
            (SHORT, {"block": 64}, "no block of text is mostly of another group than 'False'"),
            (LONG, {"block": 400, "test_share": 0.5}, "blocks of text are of . groups: too few"),
            ([{"topic": "a b c"}] * 9, {}, "is the column of the texts"),
            (None, {}, "has no columns, and so no column 'topic'"),
            (None, {"source": {"kind": "pydoc"}}, "pydoc has no columns"),
            (None, {"source": {"kind": "encyclopaedia"}}, "groups: kind"),
            (None, {"source": {"kind": "hub", "name": "a", "document_start": "b"}}, "joins the"),
        ],
    )
    def test_what_is_no_column_of_groups_is_said(self, tmp_path, listed, keys, message):
        path = tmp_path / "a.txt"
        if listed is not None:
            path = tmp_path / "a.jsonl"
        write_lines(path, listed or [{}])
        with pytest.raises((InputError, ValidationError), match=message):
            load_real_text(settings(str(path), **keys))


def test_groups_that_are_lost_or_unseen_are_named(tmp_path):
    """Documents of one word are most of no block, and none of the test documents is of ice."""
    listed = []
    for number in range(48):
        topic = ["sea", "wood"][number % 2]
        split = ["train", "train", "test", "test"][number % 4]
        words = " ".join(WORDS[topic].split() * 12)
        listed.append({"text": words, "topic": topic, "split": split})
        if split == "train":
            listed.append({"text": "pebble", "topic": "stone", "split": split})
    listed.append({"text": "frost " * 40, "topic": "ice", "split": "train"})
    text = TextModality(settings(write_lines(tmp_path / "a.jsonl", listed)))
    assert "most of no block: stone; no test block of ice" in text.data_line
    scores = text.sample_metrics(text.real("test"))
    assert scores.values["group_counts"] is None
    assert scores.reasons["group_counts"].startswith("no held-out sample of ice")


def test_texts_without_a_column_have_no_groups(lines):
    text = TextModality(settings(lines, groups=None), Corpus(["a b c d " * 99] * 9, None))
    assert text.ability(Grouped) is None
    assert "groups train" not in _hash_data(text)
    assert "group_counts" not in text.sample_metrics(text.real("test")).values


def test_other_groups_are_told_before_a_run_goes_on(lines, modality, tmp_path):
    other = [{**row, "topic": row["topic"] or "sea"} for row in rows()]
    changed = TextModality(settings(write_lines(tmp_path / "texts.jsonl", other)))
    hashes = [_hash_data(each) for each in (modality, changed)]
    assert hashes[0]["train"] == hashes[1]["train"]
    assert hashes[0]["groups train"] != hashes[1]["groups train"]


def test_groups_keep_the_promises(modality):
    check_modality(modality, NgramModel(NgramSettings(order=2), modality))


def test_groups_are_counted_within_their_intervals(modality):
    """On held-out blocks, and on those without one of the groups, which is then the worst."""
    real = modality.real("test")
    groups = modality.groups("test")
    values = modality.sample_metrics(Samples.drawn(real.data)).values
    assert values["group_accuracy"] > 0.9
    for number, name in enumerate(groups.names):
        truth = int((groups.numbers == number).sum())
        assert values["group_counts_low"][name] <= truth <= values["group_counts_high"][name]

    kept = groups.numbers != groups.names.index("wood")
    lost = modality.sample_metrics(Samples.drawn(real.data[kept]))
    assert lost.values["group_share_disparity_group"] == "wood"
    assert lost.values["group_share_disparity"] < 0.3
    assert lost.values["group_share_disparity_interval"][1] < 1


def test_the_shares_of_real_blocks_are_within_their_floor(modality):
    """The null: random real blocks are behind by no more than chance, in 19 of 20 draws or so."""
    real = modality.real("train").data
    assert shares_behind(modality, real, 60) <= 3


def test_real_blocks_of_long_documents_are_within_their_floor(tmp_path):
    """Each document has words of its own, by which the counter errs in all of its blocks."""
    draws = random.Random(0)
    common = {topic: [f"{topic}{n}" for n in range(40)] for topic in ("sea", "wood")}
    shared = [f"word{n}" for n in range(300)]

    def document(topic: str) -> dict[str, object]:
        of_document = draws.sample(shared, 40)
        words = [
            draws.choice(common[topic] if draws.random() < 0.1 else of_document) for _ in range(400)
        ]
        return {"text": " ".join(words), "topic": topic}

    listed = [document(topic) for topic in ("sea", "wood") for _ in range(60)]
    text = TextModality(settings(write_lines(tmp_path / "a.jsonl", listed), test_share=0.5))
    fresh = [str(document(topic)["text"]) for topic in ("sea", "wood") for _ in range(60)]
    blocks = text_blocks(fresh, text.tokenizer, 16)
    assert shares_behind(text, blocks, 200) <= 1


def shares_behind(modality, real, n) -> int:
    """Return in how many of 20 draws of n real blocks a group's share is below its floor."""
    behind = 0
    for seed in range(20):
        order = torch.randperm(len(real), generator=torch.Generator().manual_seed(seed))
        scores = modality.sample_metrics(Samples.drawn(real[order[:n]]))
        floor = scores.floor["group_share_disparity"]
        behind += scores.values["group_share_disparity"] < floor["low"]
    return behind


def test_a_group_that_the_texts_lack_is_recalled_the_least(modality, tmp_path):
    modality.prepare(tmp_path)
    measure = Measure(modality, floor_splits=50)
    finish(measure.prepare())
    real = modality.real("train")
    groups = modality.groups("train")

    def scores(samples: Samples):
        return finish(measure.scores(samples, modality.features(samples)))

    order = torch.randperm(len(real), generator=torch.Generator().manual_seed(0))
    alike = scores(Samples.drawn(real.data[order[:100]]))
    floor = alike.floor["group_recall_disparity"]
    assert floor["low"] <= alike.values["group_recall_disparity"] <= 1

    kept = groups.numbers != groups.names.index("wood")
    lost = scores(Samples.drawn(real.data[kept][:100]))
    assert lost.values["group_recall_disparity_group"] == "wood"
    assert lost.values["group_recall_disparity_interval"][1] < floor["low"]
