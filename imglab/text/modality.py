"""Text as a modality: real documents in blocks of tokens, what a language model has lost of them, a sheet to read."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from imglab import seeds
from imglab.config.kinds import build_plug_in
from imglab.config.section import PlugIn
from imglab.errors import InputError, Problem
from imglab.measures import Measures
from imglab.modality import Spec, Split
from imglab.model import GenerativeModel
from imglab.samples import Samples, TrainingSet
from imglab.store import files
from imglab.text.data import load_real_text
from imglab.text.features import LanguageEncoder, SentenceEncoder, TextExtractor
from imglab.text.hub import save_tokenizer
from imglab.text.likelihood import members_measures
from imglab.text.mauve import mauve_score
from imglab.text.model import TokenModality
from imglab.text.render import write_sheet
from imglab.text.settings import SentenceEncoderSettings, TextSettings
from imglab.text.subsamples import SubsampleStatistics
from imglab.text.watermark import watermark_z_scores


class TextModality(TokenModality):
    """Blocks of tokens int64 [T]; a model continues prompts, blocks of the same length."""

    picture: ClassVar[str] = "sheet.txt"
    headline: ClassVar[tuple[str, ...]] = (
        "fid",
        "recall",
        "perplexity",
        "reference_perplexity",
        "entropy",
        "distinct_2",
        "rare_word_survival",
    )

    def __init__(self, settings: TextSettings) -> None:
        if settings.mauve and importlib.util.find_spec("mauve") is None:
            remedy = "pip install mauve-text (GPL), or leave mauve out"
            raise InputError(
                Problem("modality.mauve", "MAUVE is computed with the package `mauve-text`", remedy)
            )
        self._settings = settings
        self._text = load_real_text(settings)
        self._extractor = self._make_extractor(settings)
        self._statistics = SubsampleStatistics(
            self._text.train, self._text.test, self._text.tokenizer, settings.token_budget
        )

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The tokenizer, the same for all generations."""
        return self._text.tokenizer

    @property
    def block(self) -> int:
        """Tokens of a sample, and of a prompt."""
        return self._settings.block

    def prepare(self, shared: Path) -> None:
        """Save the tokenizer, train or load the extractor."""
        if not (shared / "tokenizer").exists():
            files.write_atomically(
                shared / "tokenizer", lambda folder: save_tokenizer(self.tokenizer, folder)
            )
        self._extractor.prepare(self._text.train, shared)

    @property
    def spec(self) -> Spec:
        """int64 [T] token numbers."""
        return Spec((self._settings.block,), torch.int64)

    @property
    def extractor(self) -> str:
        """Name and hash of the extractor."""
        return self._extractor.name

    def real(self, split: Split) -> Samples:
        """Return the blocks of a split, in the order of the text."""
        return Samples.real(self._text.train if split == "train" else self._text.test)

    def fresh(self, n: int, *, first: int, seed: int) -> Samples:
        """Return blocks of the documents kept apart (`n_fresh`)."""
        found = self._text.fresh[first : first + n]
        if len(found) < n:
            raise ValueError(
                f"{first + n} fresh blocks asked for, modality.n_fresh keeps {len(self._text.fresh)}"
            )
        return Samples.real(found)

    def fresh_available(self) -> int | None:
        """As many as `n_fresh` keeps apart."""
        return len(self._text.fresh)

    def conditions(self, train: TrainingSet, n: int, *, seed: int) -> Tensor:
        """Return prompts, int64 [n, T]: every block of the current or the original training set before any comes again.

        They keep the order of the set, so that what is drawn can be read, and trained on, as running text.
        """
        blocks = (
            train if self._settings.prompts == "current" else TrainingSet.of(self.real("train"))
        )
        whole = torch.arange(len(blocks)).repeat(n // len(blocks))
        some = (
            torch.randperm(len(blocks), generator=seeds.generator(seed))[: n % len(blocks)]
            .sort()
            .values
        )
        return blocks.rows(torch.cat([whole, some])).data

    def features(self, samples: Samples) -> Tensor:
        """Return the extractor's features."""
        return self._extractor.features(samples.data)

    def metrics(
        self, samples: Samples, *, model: GenerativeModel, generation0: GenerativeModel, seed: int
    ) -> Measures:
        """Measure the model on real text, the text under generation 0's model, and the text itself.

        docs/metrics.md defines each.
        """
        parts = [
            members_measures(
                samples, self._text.test, self.tokenizer, model=model, generation0=generation0
            )
        ]
        parts.append(self._statistics.measure(samples.data))
        if len(samples):
            chance = self._statistics.by_chance(len(samples), int(samples.origin[0]))
            parts.append(Measures({"word_survival_by_chance": chance}))
        if self._settings.mauve:
            real = self._extractor.features(self._text.test)
            parts.append(mauve_score(real, self._extractor.features(samples.data)))
        return Measures.joined(parts)

    def watermark_scores(self, samples: Samples, *, key: int) -> Tensor:
        """Return the z-score of the watermark of `key` in each sample, float64 [N]."""
        return watermark_z_scores(samples.data, len(self.tokenizer), key=key)

    def read(self, samples: Samples) -> list[dict[str, str]]:
        """Return the texts, and the prompts that they continue."""
        texts = [{"text": text} for text in self.tokenizer.batch_decode(samples.data)]
        if samples.condition is None:
            return texts
        prompts = self.tokenizer.batch_decode(samples.condition)
        return [{"prompt": prompt, **found} for prompt, found in zip(prompts, texts, strict=True)]

    def export(self, samples: Samples, folder: Path) -> list[str]:
        """Write each sample as a text file."""
        names = [f"{at:06d}.txt" for at in range(len(samples))]
        for name, text in zip(names, self.tokenizer.batch_decode(samples.data), strict=True):
            files.write_bytes(folder / name, text.encode())
        return names

    def render(self, shown: Sequence[Samples], path: Path) -> None:
        """Write the sheet: prompts, and how each generation continued them."""
        sheet = write_sheet([(part.condition, part.data) for part in shown], self.tokenizer)
        path.write_text(sheet, encoding="utf-8")

    def _make_extractor(self, settings: TextSettings) -> TextExtractor:
        chosen = settings.extractor
        if isinstance(chosen, PlugIn):
            return build_plug_in(
                chosen, TextExtractor, "modality.extractor", tokenizer=self.tokenizer
            )
        if isinstance(chosen, SentenceEncoderSettings):
            return SentenceEncoder(chosen, self.tokenizer)
        return LanguageEncoder(chosen, self.tokenizer)
