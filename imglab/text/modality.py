"""Text as a modality: real documents in blocks of tokens, what a model lost of them, a sheet."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from imglab import seeds
from imglab.config.given import with_given
from imglab.config.kinds import build_plug_in
from imglab.config.section import PlugIn
from imglab.errors import InputError, Problem
from imglab.groups import Grouped, Groups
from imglab.measures import Continuation, Measures
from imglab.modality import Damage, Extractor, Spec, Split
from imglab.model import Ability, GenerativeModel
from imglab.samples import Samples, TrainingSet
from imglab.store import files
from imglab.text.corpus import Corpus
from imglab.text.damage import text_damages
from imglab.text.data import RealText, load_real_text
from imglab.text.features import BagOfTokens, SentenceEncoder
from imglab.text.given import read_given
from imglab.text.group_counting import GroupCounting
from imglab.text.hub import save_tokenizer
from imglab.text.likelihood import held_out_nats, likelihood_metrics
from imglab.text.mauve import mauve_metrics
from imglab.text.model import TokenModality
from imglab.text.openings import continue_opening, write_panel
from imglab.text.render import readable, write_sheet
from imglab.text.sequence_encoder import SequenceEncoder
from imglab.text.settings import BagOfTokensSettings, SentenceEncoderSettings, TextSettings
from imglab.text.subsamples import SubsampleStatistics
from imglab.text.watermark import watermark_z_scores


class TextModality(TokenModality):
    """Blocks of tokens int64 [T]; a model continues prompts, blocks of the same length."""

    picture: ClassVar[str] = "sheet.txt"
    headline: ClassVar[tuple[str, ...]] = (
        "fid",
        "precision_bounded",
        "recall_bounded",
        "perplexity",
        "reference_perplexity",
        "entropy",
        "distinct_2",
        "rare_word_survival",
    )

    gate: ClassVar[Mapping[str, float]] = MappingProxyType(
        {"further_training": 0.02, "trusted": 2.0}
    )
    trusted: ClassVar[tuple[str, ...]] = ("fid", "precision_bounded", "recall_bounded")

    def __init__(self, settings: TextSettings, corpus: Corpus | RealText | None = None) -> None:
        """Read the source that the settings name.

        corpus  text that was read already, or its blocks with their tokenizer
        """
        if settings.mauve and importlib.util.find_spec("mauve") is None:
            what = "MAUVE is computed with the package `mauve-text`"
            remedy = "pip install mauve-text (GPL), or leave mauve out"
            raise InputError(Problem("modality.mauve", what, remedy))

        self._settings = settings
        if isinstance(corpus, RealText):
            self._text = corpus
        else:
            self._text = load_real_text(settings, corpus)
        self._given = read_given(settings, self._text.tokenizer, self._text.test)
        self.data_line = with_given(self._text.line, self._given, "blocks of text")
        self._extractor = self._make_extractor(settings)
        self._group_counting: GroupCounting | None = None
        if self._text.groups:
            self._group_counting = GroupCounting(self._text)
        self._statistics = SubsampleStatistics(
            self._text.train, self._text.test, self._text.tokenizer, settings.token_budget
        )

    def shortened(self, settings: TextSettings) -> TextModality:
        """Return data of the first blocks of this text, with its tokenizer, which takes no time.

        settings  those of this text but for the extractor, `token_budget`, and `n_train` and
                  `n_test`, which are no more than there are
        """
        return type(self)(settings, self._text.first(settings.n_train, settings.n_test))

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The tokenizer, the same for all generations."""
        return self._text.tokenizer

    @property
    def block(self) -> int:
        """Tokens of a sample, and of a prompt."""
        return self._settings.block

    def prepare(self, shared: Path) -> None:
        """Save the tokenizer, and train or load the extractor."""
        folder = shared / "tokenizer"
        if not folder.exists():
            files.write_atomically(folder, lambda path: save_tokenizer(self.tokenizer, path))
        self._extractor.prepare(self._text.train, shared)

    @property
    def spec(self) -> Spec:
        """int64 [T] token numbers."""
        return Spec((self._settings.block,), torch.int64)

    @property
    def extractor(self) -> Extractor:
        """The extractor that the settings choose."""
        return self._extractor

    def real(self, split: Split) -> Samples:
        """Return the blocks of a split, in the order of the text."""
        if split == "train":
            return Samples.real(self._text.train)
        return Samples.real(self._text.test)

    def synthetic(self) -> Mapping[str, Samples]:
        """Return the blocks of the synthetic text that the settings name, by label."""
        return self._given

    def ability(self, wanted: type[Ability]) -> Ability | None:
        """Return what provides an ability; documents without a column of groups are not grouped."""
        if wanted is Grouped and not self._text.groups:
            return None
        return super().ability(wanted)

    def groups(self, split: Split) -> Groups:
        """Return the groups that the column `groups` names."""
        return self._text.groups[split]

    def damages(self) -> list[Damage]:
        """Return the damages of text."""
        return text_damages(self.tokenizer, self.real("train"))

    def fresh(self, n: int, *, first: int, seed: int) -> Samples:
        """Return blocks of the documents that are held back (`n_fresh`)."""
        blocks = self._text.fresh[first : first + n]
        if len(blocks) < n:
            available = len(self._text.fresh)
            raise ValueError(
                f"{first + n} fresh blocks asked for, modality.n_fresh holds back {available}"
            )
        return Samples.real(blocks)

    def fresh_available(self) -> int:
        """Return how many blocks `n_fresh` holds back."""
        return len(self._text.fresh)

    def conditions(self, train: TrainingSet, n: int, *, seed: int) -> Tensor:
        """Return prompts, int64 [n, T]: blocks of the current or of the original training set.

        Every block is used once before any is used again. Prompts keep the order of the set, so
        that what is drawn can be read, and trained on, as running text.
        """
        blocks = train
        if self._settings.prompts == "original":
            blocks = TrainingSet.of(self.real("train"))

        whole = torch.arange(len(blocks)).repeat(n // len(blocks))
        order = torch.randperm(len(blocks), generator=seeds.generator(seed))
        rest = order[: n % len(blocks)].sort().values
        return blocks.rows(torch.cat([whole, rest])).data

    def metrics(
        self, samples: Samples, *, model: GenerativeModel, generation0: GenerativeModel, seed: int
    ) -> Measures:
        """Measure the model on real text, its text under generation 0's model, and the text itself.

        docs/metrics.md defines each metric.
        """
        of_likelihood = likelihood_metrics(
            samples, self._text.test, self.tokenizer, model=model, generation0=generation0
        )
        return Measures.joined([of_likelihood, self.sample_metrics(samples)])

    def sample_metrics(self, samples: Samples) -> Measures:
        """Measure the text itself; docs/metrics.md defines each metric."""
        parts = [self._statistics.metrics(samples.data)]
        if len(samples):
            generation = int(samples.origin[0])
            by_chance = self._statistics.survival_by_chance(len(samples), generation)
            parts.append(Measures({"word_survival_by_chance": by_chance}))
        if self._group_counting is not None:
            parts.append(self._group_counting.metrics(samples))

        if self._settings.mauve:
            real = self._extractor.features(self._text.test)
            synthetic = self._extractor.features(samples.data)
            parts.append(mauve_metrics(real=real, synthetic=synthetic))
        return Measures.joined(parts)

    def held_out_loss(self, model: GenerativeModel) -> float | None:
        """Return a model's mean loss on held-out real text, in nats per token."""
        return held_out_nats(self._text.test, model)

    def watermark_scores(self, samples: Samples, *, key: int) -> Tensor:
        """Return the z-score of the watermark of `key` in each sample, float64 [N]."""
        return watermark_z_scores(samples.data, len(self.tokenizer), key=key)

    def read(self, samples: Samples) -> list[dict[str, str]]:
        """Return the texts as a reader sees them, and the prompts that they continue."""
        end = self.tokenizer.eos_token
        texts = [readable(tokens, self.tokenizer, end) for tokens in samples.data]
        if samples.condition is None:
            return [{"text": text} for text in texts]

        prompts = [readable(tokens, self.tokenizer, end) for tokens in samples.condition]
        return [
            {"prompt": prompt, "text": text} for prompt, text in zip(prompts, texts, strict=True)
        ]

    def export(self, samples: Samples, folder: Path) -> list[str]:
        """Write each sample as a text file."""
        names = [f"{number:06d}.txt" for number in range(len(samples))]
        texts = self.tokenizer.batch_decode(samples.data)
        for name, text in zip(names, texts, strict=True):
            files.write_bytes(folder / name, text.encode())
        return names

    def continuation(
        self, model: GenerativeModel, *, first: Continuation | None, seed: int
    ) -> Continuation | None:
        """Let a generation's model continue the held-out opening of median perplexity."""
        openings = self._text.openings
        return continue_opening(openings, model, self.tokenizer, first=first, seed=seed)

    def render(self, shown: Sequence[Samples], path: Path) -> None:
        """Write the sheet: prompts, and how each generation continued them."""
        pairs = [(samples.condition, samples.data) for samples in shown]
        sheet = write_sheet(pairs, self.tokenizer, self.tokenizer.eos_token)
        path.write_text(sheet, encoding="utf-8")

    def render_panel(
        self, shown: Sequence[Samples], panel: Mapping[int, Continuation], path: Path
    ) -> None:
        """Write the panel, and below it the sheet."""
        self.render(shown, path)
        sheet = path.read_text(encoding="utf-8")
        path.write_text(f"{write_panel(panel)}\n{sheet}", encoding="utf-8")

    def _make_extractor(self, settings: TextSettings) -> Extractor:
        section = settings.extractor
        if isinstance(section, PlugIn):
            return build_plug_in(section, Extractor, "modality.extractor", tokenizer=self.tokenizer)
        if isinstance(section, SentenceEncoderSettings):
            return SentenceEncoder(section, self.tokenizer)
        if isinstance(section, BagOfTokensSettings):
            return BagOfTokens(section, self.tokenizer)
        return SequenceEncoder(section, self.tokenizer)
