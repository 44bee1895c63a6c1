"""Keys of the text sections of a config. Read without torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from imglab.config.section import (
    WATERMARK_KEY,
    BatchSize,
    Count,
    LearningRate,
    LoraSettings,
    PathName,
    Section,
    Seed,
    TrainingPlan,
    choice,
)


class PydocSource(Section):
    """The language reference inside CPython (`pydoc_data.topics`): about 80 documents, 460 kB; its text, so its hash,
    depends on the version of Python.
    """

    kind: Literal["pydoc"] = "pydoc"


class _Documents(Section):
    document_start: Annotated[str, Field(max_length=100)] | None = None
    """A regular expression: a line that it matches begins a document, e.g. `^ = [^=]+ = $` for WikiText."""


class FilesSource(_Documents):
    """Text files in UTF-8: one file, or all `.txt` under a folder; a file is a document unless `document_start`."""

    kind: Literal["files"] = "files"
    path: PathName
    test_path: PathName | None = None
    """The same for the test split; without it, whole documents of `path` are kept apart."""


class HubSource(_Documents):
    """A corpus of the Hugging Face hub, or a local folder in its form, through `datasets` (extra `hub`)."""

    kind: Literal["hub"] = "hub"
    name: PathName
    subset: str | None = None
    """The corpus's configuration, e.g. `wikitext-2-raw-v1`."""
    column: str = "text"
    train_split: str = "train"
    test_split: str | None = "test"
    """Null: whole documents of the training split are kept apart."""
    revision: str | None = None


class BpeSettings(Section):
    """A byte-level BPE tokenizer, trained once on the real training documents; it can write any text."""

    kind: Literal["bpe"] = "bpe"
    vocabulary: Annotated[int, Field(ge=257, le=1_000_000)] = 1024
    """Tokens: 256 bytes, one that ends a document, and merges."""


class _OfTheHub(Section):
    name: PathName
    """On the hub, or a local folder."""
    revision: str | None = None


class PretrainedTokenizerSettings(_OfTheHub):
    """The tokenizer of a model of the hub, or of a local folder."""

    kind: Literal["pretrained"] = "pretrained"


class EncoderSettings(Section):
    """A small language model, trained once on the real training text; features are its mean-pooled hidden states."""

    kind: Literal["encoder"] = "encoder"
    layers: Annotated[int, Field(ge=1, le=48)] = 2
    width: Annotated[int, Field(ge=8, le=4096, multiple_of=8)] = 64
    tokens: Count = 500_000
    """Training tokens seen."""
    seed: Seed = 0
    """Apart from the run's seed, so that arms and seeds are measured by one extractor."""


class SentenceEncoderSettings(_OfTheHub):
    """A text encoder of the hub or of a local folder (AutoModel); features are its mean-pooled last hidden states."""

    kind: Literal["sentence_encoder"] = "sentence_encoder"


class TextSettings(Section):
    """`modality:` of a text chain."""

    kind: Literal["text"] = "text"
    source: choice(PydocSource, FilesSource, HubSource) = PydocSource()  # type: ignore[valid-type]
    tokenizer: choice(BpeSettings, PretrainedTokenizerSettings) = BpeSettings()  # type: ignore[valid-type]
    block: Annotated[int, Field(ge=4, le=65_536)] = 64
    """Tokens of a sample; a model continues a prompt of so many tokens by so many."""
    prompts: Literal["current", "original"] = "current"
    """Whose blocks are continued: those of the current training set, or in every generation the real ones."""
    n_train: Annotated[int, Field(ge=2, le=10**12)] | None = None
    """Blocks; all there are if left out."""
    n_test: Count | None = None
    n_fresh: Annotated[int, Field(ge=0, le=10**12)] = 0
    """Real blocks kept apart from training, for regimes that ask for fresh data."""
    test_share: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """Of the text, in whole documents, where the source has no test part of its own."""
    split_seed: Seed = 0
    extractor: choice(EncoderSettings, SentenceEncoderSettings, plug_in=True) = EncoderSettings()  # type: ignore[valid-type]
    token_budget: Annotated[int, Field(ge=16, le=10**9)] = 32_768
    """Tokens on which distinct-n, gzip ratio, Zipf slope and word survival are taken at a time."""
    mauve: bool = False
    """Also compute MAUVE, with the package `mauve-text` (GPL; not installed with imglab)."""


class SamplingSettings(Section):
    """Draw each token from the model's distribution: temperature, then top-k, then top-p."""

    kind: Literal["sampling"] = "sampling"
    temperature: Annotated[float, Field(ge=0.001, le=100)] = 1.0
    top_k: Annotated[int, Field(ge=1, le=10**7)] | None = None
    """Only the k most likely tokens."""
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Only the fewest tokens whose probabilities sum to p."""


class BeamSettings(Section):
    """The most likely continuation that beam search finds; nothing is random."""

    kind: Literal["beam"] = "beam"
    beams: Annotated[int, Field(ge=1, le=1000)] = 5


class TextWatermarkSettings(Section):
    """Mark what is drawn: favour, after each token, a part of the vocabulary that the key and it choose.

    The scheme of Kirchenbauer et al. 2023 (2301.10226), as in transformers.
    """

    key: Seed = WATERMARK_KEY
    strength: Annotated[float, Field(gt=0, le=100)] = 2.5
    """delta: added to the logits of the favoured quarter."""


class TextModelSettings(Section):
    """What every `model:` of a text chain has."""

    decoding: choice(SamplingSettings, BeamSettings) = SamplingSettings()  # type: ignore[valid-type]
    sampling_bias: Annotated[float, Field(ge=0.001, le=1)] = 1.0
    """lambda: draw each token in proportion to p^(1 / lambda): a factor on the temperature."""
    sampling_batch: BatchSize = 128
    watermark: TextWatermarkSettings | None = None

    @model_validator(mode="after")
    def _beams_are_not_random(self) -> TextModelSettings:
        if self.sampling_bias < 1 and isinstance(self.decoding, BeamSettings):
            raise ValueError(
                "sampling_bias below 1 is a temperature: it needs decoding.kind: sampling"
            )
        if self.watermark is not None and isinstance(self.decoding, BeamSettings):
            raise ValueError(
                "a watermark is in what is drawn at random: it needs decoding.kind: sampling"
            )
        return self


class Gpt2Settings(Section):
    """A network of GPT-2's shape, made from these numbers; the tokenizer gives its vocabulary."""

    kind: Literal["gpt2"] = "gpt2"
    layers: Annotated[int, Field(ge=1, le=200)] = 2
    width: Annotated[int, Field(ge=8, le=65_536)] = 128
    heads: Annotated[int, Field(ge=1, le=1024)] = 4
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0

    @model_validator(mode="after")
    def _heads_divide_width(self) -> Gpt2Settings:
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is not a multiple of heads {self.heads}")
        return self


class PretrainedSettings(_OfTheHub):
    """Any causal language model of transformers, by its name on the hub or a local folder; weights as safetensors."""

    kind: Literal["pretrained"] = "pretrained"


class TextTrainingSettings(TrainingPlan):
    """How long and how fast a language model is fitted."""

    tokens: Count = 1_024_000
    """Budget in tokens seen: the same in every regime."""
    batch: BatchSize = 32
    """Windows."""
    learning_rate: LearningRate = 2e-3


class TextFineTuningSettings(TextTrainingSettings):
    """The same for a fit that starts from a model."""

    tokens: Count = 512_000
    learning_rate: LearningRate = 5e-4


class LanguageModelSettings(TextModelSettings):
    """`model:` of a text chain: a causal language model of transformers."""

    kind: Literal["language_model"] = "language_model"
    network: choice(Gpt2Settings, PretrainedSettings) = Gpt2Settings()  # type: ignore[valid-type]
    window: Annotated[int, Field(ge=4, le=10**6)] = 128
    """Tokens of a training example: that many samples of the training set, one after the other, joined."""
    training: TextTrainingSettings = TextTrainingSettings()
    """A fit from scratch."""
    fine_tuning: TextFineTuningSettings = TextFineTuningSettings()
    """A fit that starts from a model, or from pretrained weights."""
    lora: LoraSettings | None = None
    precision: Literal["fp32", "bf16"] = "fp32"
    """Of the fit; drawing and measuring are in fp32."""


class NgramSettings(TextModelSettings):
    """`model:` of a text chain: counts of n-grams, backing off to shorter ones (Witten and Bell 1991)."""

    kind: Literal["ngram"] = "ngram"
    order: Annotated[int, Field(ge=1, le=8)] = 3
    """n: a token depends on the n - 1 before it."""
    smoothing: Annotated[float, Field(ge=0, le=1000)] = 1.0
    """Weight of the shorter context, in tokens for each different token seen after the longer one; 0 uses it only
    where the longer context was never seen, so that what was never seen is never drawn.
    """
