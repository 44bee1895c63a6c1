"""Real text: sources, the split by document, blocks, prompts, and what is refused."""

from __future__ import annotations

import json
from pydoc_data.topics import topics

import pytest
import torch
from tokenizers.processors import TemplateProcessing

from imglab.config.load import validate_config
from imglab.errors import InputError
from imglab.running.build import build_modality
from imglab.samples import Samples, TrainingSet
from imglab.text.corpus import read_corpus
from imglab.text.data import load_real_text
from imglab.text.settings import TextSettings
from imglab.text.source_settings import FilesSource, HubSource, PydocSource
from tests.text_fixtures import TINY_TEXT

SENTENCES = [
    f"Document {n} says that word{n} is a word, and says it {n} times over.\n" * 6
    for n in range(12)
]


def text(**changes):
    return TextSettings(**{"tokenizer": {"kind": "bpe", "vocabulary": 300}, "block": 16, **changes})


@pytest.fixture
def folder(tmp_path):
    for number, content in enumerate(SENTENCES):
        (tmp_path / f"{number:02d}.txt").write_text(content)
    return tmp_path


class TestSources:
    def test_pydoc_is_the_language_reference(self):
        corpus = read_corpus(PydocSource())
        assert list(corpus.train) == [topics[name] for name in sorted(topics)]
        assert sum(map(len, corpus.train)) > 400_000
        assert corpus.test is None

    def test_a_file_is_a_document(self, folder):
        (folder / "deeper").mkdir()
        (folder / "deeper" / "z.txt").write_text("\ufefflast", encoding="utf-8")
        (folder / "blank.txt").write_text(" \n")
        (folder / "notes.md").write_text("not read")
        found = read_corpus(FilesSource(path=str(folder)))
        assert list(found.train) == [*SENTENCES, "last"]
        one = read_corpus(
            FilesSource(path=str(folder / "00.txt"), test_path=str(folder / "01.txt"))
        )
        assert (one.train, one.test) == (SENTENCES[:1], SENTENCES[1:2])

    def test_what_is_for_testing_is_not_trained_on(self, folder):
        found = read_corpus(FilesSource(path=str(folder), test_path=str(folder / "03.txt")))
        assert found.test == [SENTENCES[3]]
        assert found.train == [*SENTENCES[:3], *SENTENCES[4:]]
        with pytest.raises(InputError, match=r"nothing but what modality\.source\.test_path names"):
            read_corpus(FilesSource(path=str(folder), test_path=str(folder)))

    def test_documents_begin_where_a_line_says_so(self, tmp_path):
        path = tmp_path / "all.txt"
        path.write_text("before\n = One = \nfirst\n = = Not this = = \n = Two = \r\nsecond\n")
        found = read_corpus(FilesSource(path=str(path), document_start=r"^ = [^=]+ = $"))
        assert len(found.train) == 3
        assert found.train[0] == "before\n"
        assert found.train[2].endswith("second\n")

    def test_sentences_that_hold_something_are_left_out(self, tmp_path):
        (tmp_path / "a.txt").write_text(
            " = Lobsters = \n It is a <unk> lobster . H. americanus lives in Maine . "
            '" No " <unk> . It has 2 claws .\n The <unk> .\n = <unk> = \nNo more.'
        )
        source = {"kind": "files", "path": str(tmp_path), "document_start": "^ = [^=]+ = $"}
        left_out = FilesSource.model_validate({**source, "leave_out": "<unk>"})
        one, two = read_corpus(left_out).train
        assert "<unk>" not in one
        assert "H. americanus lives in Maine . It has 2 claws .\n" in one
        assert two.split() == ["No", "more."]
        no_expression = FilesSource.model_validate({**source, "leave_out": "("})
        with pytest.raises(InputError, match=r"modality\.source\.leave_out: '\(' is not a regular"):
            read_corpus(no_expression)

    def test_wikitext(self, shared_data):
        path = str(shared_data / "wikitext2" / "valid.txt")
        found = read_corpus(FilesSource(path=path, document_start=r"^ = [^=]+ = $"))
        assert len(found.train) == 60, "articles of WikiText-2's validation part"

    def test_a_local_corpus_in_the_hubs_form(self, tmp_path):
        for split in ("train", "test"):
            rows = [{"text": f"{split} {n}"} for n in range(3)] + [{"text": ""}, {"text": None}]
            (tmp_path / f"{split}.jsonl").write_text("\n".join(map(json.dumps, rows)))
        found = read_corpus(HubSource(name=str(tmp_path)))
        assert list(found.train) == ["train 0", "train 1", "train 2"]
        assert list(found.test or ()) == ["test 0", "test 1", "test 2"]
        with pytest.raises(
            InputError,
            match=r"modality\.source\.column: there is no column 'texts' \(one of: text\)",
        ):
            read_corpus(HubSource(name=str(tmp_path), column="texts"))
        with pytest.raises(InputError, match=r"modality\.source\.test_split: .* did not load"):
            read_corpus(HubSource(name=str(tmp_path), test_split="validation"))

    @pytest.mark.parametrize(
        ("source", "message"),
        [
            (
                {"kind": "files", "path": "none"},
                r"source\.path: there is no file or folder 'none': nothing .* \(give a text file",
            ),
            (
                {"kind": "files", "path": "empty"},
                r"source\.path: the folder 'empty' holds no \.txt file",
            ),
            ({"kind": "files", "path": "blank.txt"}, r"source: has no training text: it is empty"),
            (
                {"kind": "files", "path": "one.txt"},
                r"source: is one document, too short.*give test_path, or document_start",
            ),
            (
                {"kind": "files", "path": "latin.txt"},
                r"'latin.txt' is not UTF-8: byte 3 is 0xe9 \(save it as UTF-8\)",
            ),
            (
                {"kind": "files", "path": "one.txt", "document_start": "("},
                r"source\.document_start: '\(' is not a regular expression: missing \)",
            ),
            (
                {"kind": "hub", "name": "no/such-corpus"},
                r"'no/such-corpus' did not load.*without network give a local",
            ),
        ],
    )
    def test_what_is_no_text(self, source, message, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        (tmp_path / "empty").mkdir()
        (tmp_path / "blank.txt").write_text("\n \n")
        (tmp_path / "one.txt").write_text("one-document")
        (tmp_path / "latin.txt").write_bytes("caf\xe9".encode("latin-1"))
        with pytest.raises(InputError, match=message):
            load_real_text(text(source=source))

    def test_the_hub_without_its_package(self, monkeypatch):
        monkeypatch.setitem(__import__("sys").modules, "datasets", None)
        with pytest.raises(InputError, match=r"pip install 'imglab-collapse\[hub\]'"):
            read_corpus(HubSource(name="anything"))


class TestSplit:
    def test_no_document_is_in_two_parts(self, folder):
        """Each document says its number: what the parts spell must not share one."""
        found = load_real_text(
            text(source={"kind": "files", "path": str(folder)}, n_fresh=8, test_share=0.3)
        )
        spelled = {
            name: found.tokenizer.decode(getattr(found, name).flatten())
            for name in ("train", "test", "fresh")
        }
        numbers = {
            name: {n for n in range(12) if f"word{n} " in part} for name, part in spelled.items()
        }
        assert all(numbers.values())
        assert not numbers["train"] & numbers["test"]
        assert not numbers["fresh"] & (numbers["train"] | numbers["test"])
        assert len(found.fresh) == 8

    def test_parts_are_the_text_in_order(self, folder):
        found = load_real_text(
            text(source={"kind": "files", "path": str(folder), "test_path": str(folder / "03.txt")})
        )
        whole = "<|endoftext|>".join(SENTENCES[:3] + SENTENCES[4:])
        assert whole.startswith(found.tokenizer.decode(found.train.flatten()))
        assert found.train.shape[1] == 16

    def test_what_ends_a_document_is_never_read_from_its_text(self, folder):
        (folder / "odd.txt").write_text("it ends <|endoftext|> it does not\n" * 20)
        found = load_real_text(
            text(
                source={
                    "kind": "files",
                    "path": str(folder / "odd.txt"),
                    "test_path": str(folder / "00.txt"),
                }
            )
        )
        assert int((found.train == found.tokenizer.eos_token_id).sum()) <= 1

    def test_the_tokenizer_has_not_seen_the_test_text(self, folder):
        (folder / "other").mkdir()
        (folder / "other" / "test.txt").write_text("zebra " * 100)
        source = {
            "kind": "files",
            "path": str(folder / "00.txt"),
            "test_path": str(folder / "other"),
        }
        vocabulary = load_real_text(text(source=source)).tokenizer.get_vocab()
        assert not any("zeb" in token for token in vocabulary)
        assert any("word" in token for token in vocabulary)

    @pytest.mark.parametrize("begin_tokens", [False, True])
    def test_documents_begin_as_the_tokenizers_own_call_does(self, folder, begin_tokens):
        """Llama's tokenizer, for instance, puts `<s>` before every text that it is called on."""
        tokenizer = load_real_text(text()).tokenizer
        tokenizer.add_special_tokens({"bos_token": "<s>"})
        begin = tokenizer.bos_token_id
        tokenizer._tokenizer.post_processor = TemplateProcessing(
            single="<s> $A", special_tokens=[("<s>", begin)]
        )
        tokenizer.save_pretrained(folder / "llama")
        section = {
            "kind": "pretrained",
            "name": str(folder / "llama"),
            "begin_tokens": begin_tokens,
        }
        source = {"kind": "files", "path": str(folder)}
        stream = load_real_text(text(tokenizer=section, source=source)).train.flatten().tolist()
        ends = [at for at, token in enumerate(stream[:-1]) if token == tokenizer.eos_token_id]
        assert {stream[at + 1] == begin for at in ends} == {begin_tokens}
        assert (stream[0] == begin) == begin_tokens

    def test_the_same_settings_give_the_same_tokens(self):
        one, two = load_real_text(text()), load_real_text(text())
        assert torch.equal(one.train, two.train)
        other = load_real_text(text(split_seed=1))
        assert not torch.equal(one.test[:50], other.test[:50])

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            (
                {"n_train": 10**6},
                r"modality\.n_train: asks for 1000000 blocks of 16 tokens, there are \d+ \(at most",
            ),
            ({"n_test": 10**6}, r"modality\.n_test: asks for 1000000 blocks"),
            ({"n_fresh": 10**6}, r"modality\.n_fresh: asks for 1000000 blocks"),
            (
                {"block": 65_536, "test_share": 0.01},
                r"modality\.block: the test text is shorter than one block: \d+ tokens",
            ),
        ],
    )
    def test_more_than_there_is(self, changes, message):
        with pytest.raises(InputError, match=message):
            load_real_text(text(**changes))


class TestPrompts:
    def modality(self, **changes):
        tree = {"name": "x", "model": {"kind": "ngram"}, "modality": {**TINY_TEXT, **changes}}
        return build_modality(validate_config(tree, "test"))

    def test_original_prompts_are_the_real_blocks_in_order_in_every_generation(self):
        modality = self.modality(prompts="original")
        real = modality.real("train").data
        synthetic = TrainingSet.of(Samples.drawn(torch.zeros_like(real)))
        assert torch.equal(modality.conditions(synthetic, len(real), seed=1), real)
        more = modality.conditions(synthetic, len(real) + 5, seed=1)
        assert torch.equal(more[: len(real)], real)
        assert len(more[len(real) :].unique(dim=0)) == 5, (
            "no block comes three times before all came twice"
        )

    def test_current_prompts_are_those_of_the_training_set(self):
        modality = self.modality()
        train = TrainingSet.of(Samples.drawn(torch.arange(30)[:, None].expand(-1, 16)))
        assert modality.conditions(train, 30, seed=1)[:, 0].tolist() == list(range(30))
        few = modality.conditions(train, 10, seed=1)[:, 0].tolist()
        assert few == sorted(set(few)), "each at most once, in order"
        assert few != modality.conditions(train, 10, seed=2)[:, 0].tolist()

    def test_fresh_blocks_are_real_and_apart(self):
        modality = self.modality()
        fresh, train = modality.fresh(10, first=0, seed=0).data, modality.real("train").data
        assert modality.fresh_available() == 10
        assert not (fresh[:, None] == train[None]).all(-1).any()


def test_mauve_without_its_package(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    tree = {"name": "x", "model": {"kind": "ngram"}, "modality": {**TINY_TEXT, "mauve": True}}
    with pytest.raises(InputError, match=r"modality\.mauve: .*pip install mauve-text \(GPL\)"):
        build_modality(validate_config(tree, "test"))


def test_mauve_with_its_package():
    pytest.importorskip("mauve", reason="mauve-text is not installed")
    from imglab.text.mauve import mauve_metrics

    features = torch.randn(200, 8, generator=torch.Generator().manual_seed(0))
    near, far = (
        mauve_metrics(real=features, synthetic=features + shift).values["mauve"]
        for shift in (0.0, 5.0)
    )
    assert far < 0.2 < 0.9 < near
