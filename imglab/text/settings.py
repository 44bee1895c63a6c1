"""Keys of the text sections of a config: the data and the models. Read without torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator

from imglab.config.given import SyntheticSets
from imglab.config.section import (
    BatchSize,
    Count,
    LearningRate,
    LoraSettings,
    PlugIn,
    Section,
    Seed,
    TrainingPlan,
    choice,
    newer_key,
)
from imglab.text.decoding_settings import (
    BeamSettings,
    DecodingChoice,
    SamplingSettings,
    TextWatermarkSettings,
)
from imglab.text.network_settings import (
    Gpt2Settings,
    LlamaSettings,
    OfTheHub,
    PretrainedSettings,
)
from imglab.text.source_settings import EncyclopaediaSource, HubSource, PydocSource, Source


class BpeSettings(Section):
    """A byte-level BPE tokenizer, trained once on the real training documents.

    It can encode any text.
    """

    kind: Literal["bpe"] = "bpe"
    vocabulary: Annotated[int, Field(ge=257, le=1_000_000)] = 1024
    """Number of tokens: 256 bytes, one token that ends a document, and merges."""


class WordsSettings(Section):
    """A tokenizer of whole words: the most frequent ones of the real training documents.

    A token is a word, a number or a punctuation mark; white space is not kept. Other words are read
    as `<unk>`.
    """

    kind: Literal["words"] = "words"
    vocabulary: Annotated[int, Field(ge=16, le=1_000_000)] = 4096
    """Number of tokens at most: words, one token for all others, one that ends a document."""


class PretrainedTokenizerSettings(OfTheHub):
    """The tokenizer of a model, from the Hugging Face hub or a local folder."""

    kind: Literal["pretrained"] = "pretrained"
    begin_tokens: bool = True
    """Begin each document with the tokens that the tokenizer puts before any text that it is called
    on (OPT and Llama have one such token, GPT-2 and SmolLM2 have none). Such networks
    are not themselves without it. Runs that began before this was the default go on without."""


class SequenceEncoderSettings(Section):
    """A small language model that is trained once on the real training text.

    The features are what a text is about (components of the mean hidden state) and what the order
    of its words is worth: how surprising it is, and by how much more it is with its words moved.
    """

    kind: Literal["sequence_encoder"] = "sequence_encoder"
    layers: Annotated[int, Field(ge=1, le=48)] = 2
    """Transformer layers."""
    width: Annotated[int, Field(ge=8, le=4096, multiple_of=8)] = 64
    """Size of the hidden states."""
    content: Annotated[int, Field(ge=1, le=4096)] = 8
    """Number of features that describe the content, at most `width`; five describe the order."""
    tokens: Count = 1_000_000
    """Tokens that the encoder sees in training; a token counts each time it is seen."""
    seed: Seed = 0
    """Seed of the encoder's training. It is separate from the run's seed, so that runs that differ
    in their seeds are measured by the same extractor."""


class BagOfTokensSettings(Section):
    """A small language model that is trained once on the real training text.

    The features are the mean of its hidden states over the tokens, which do not see the order of
    the tokens. `encoder` is the older name of this kind.
    """

    kind: Literal["bag_of_tokens", "encoder"] = "bag_of_tokens"
    layers: Annotated[int, Field(ge=1, le=48)] = 2
    """Transformer layers."""
    width: Annotated[int, Field(ge=8, le=4096, multiple_of=8)] = 64
    """Size of the hidden states, and so the number of features."""
    tokens: Count = 500_000
    """Tokens that the encoder sees in training; a token counts each time it is seen."""
    seed: Seed = 0
    """Seed of the encoder's training. It is separate from the run's seed, so that runs that differ
    in their seeds are measured by the same extractor."""


class SentenceEncoderSettings(OfTheHub):
    """A text encoder (AutoModel) from the Hugging Face hub or a local folder.

    The features are the mean of its last hidden states over the tokens.
    """

    kind: Literal["sentence_encoder"] = "sentence_encoder"


if TYPE_CHECKING:
    TokenizerChoice = BpeSettings | WordsSettings | PretrainedTokenizerSettings
    ExtractorChoice = (
        SequenceEncoderSettings | BagOfTokensSettings | SentenceEncoderSettings | PlugIn
    )
else:
    TokenizerChoice = choice(BpeSettings, WordsSettings, PretrainedTokenizerSettings)
    ExtractorChoice = choice(
        SequenceEncoderSettings, BagOfTokensSettings, SentenceEncoderSettings, plug_in=True
    )


class TextSettings(Section):
    """Text in blocks of tokens: where it comes from, how it is tokenized, split and compared."""

    kind: Literal["text"] = "text"
    source: Source = PydocSource()
    """Where the real documents come from."""
    tokenizer: TokenizerChoice = BpeSettings()
    """How text is turned into tokens."""
    block: Annotated[int, Field(ge=4, le=65_536)] = 64
    """Tokens of a sample. A model continues a prompt of this many tokens by as many more."""
    prompts: Literal["current", "original"] = "current"
    """Which blocks serve as prompts: those of the current training set (`current`), or the real
    ones in every generation (`original`)."""
    n_train: Annotated[int, Field(ge=2, le=10**12)] | None = None
    """Number of real blocks to train on; default: all that are left."""
    n_test: Count | None = None
    """Number of real blocks held out for testing; default: all of the test split."""
    n_fresh: Annotated[int, Field(ge=0, le=10**12)] = 0
    """Number of real blocks held back for regimes that add fresh real data in later
    generations."""
    test_share: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """Share of the text held out as the test split (whole documents), if the source has none."""
    split_seed: Seed = 0
    """Seed of the random choice of the documents that are held out."""
    groups: Annotated[str, Field(min_length=1)] | None = newer_key(None)
    """Column that names a group of each document, such as its topic or its author's, whose recall
    and share are then measured: of files of rows or of a corpus of the hub; of `encyclopaedia`
    `kind`. A block of tokens is of the group to which most of them belong; documents without one
    are the group `none`."""
    synthetic: SyntheticSets = newer_key([])
    """Synthetic data of your own beside the real data: one set or several, each with a label, by
    which the regime `mixture` gives it a share of the training sets."""
    extractor: ExtractorChoice = SequenceEncoderSettings()
    """What turns text into the features that all distribution metrics compare."""
    token_budget: Annotated[int, Field(ge=16, le=10**9)] = 32_768
    """Tokens of each subsample on which distinct-n, gzip ratio, Zipf slope and word survival are
    measured; these depend on how much text there is."""
    mauve: bool = False
    """Also compute MAUVE. This requires the package `mauve-text` (GPL), which is not installed
    with imglab."""

    @model_validator(mode="after")
    def _groups_have_a_column(self) -> TextSettings:
        if self.groups is None:
            return self
        if isinstance(self.source, PydocSource):
            raise ValueError("the source of kind pydoc has no columns: leave groups out")
        if isinstance(self.source, EncyclopaediaSource) and self.groups != "kind":
            raise ValueError("groups of the encyclopaedia are of one column: groups: kind")
        if isinstance(self.source, HubSource) and self.source.document_start is not None:
            raise ValueError("document_start joins the rows of a corpus: leave it out, or groups")
        return self


class TextModelSettings(Section):
    """Keys that the sections of all text models have."""

    decoding: DecodingChoice = SamplingSettings()
    """How text is drawn from the model."""
    sampling_bias: Annotated[float, Field(ge=0.001, le=1)] = 1.0
    """lambda: each token is drawn in proportion to p^(1 / lambda), which is a factor on the
    temperature. 1 means no bias."""
    sampling_batch: BatchSize = 128
    """Samples that are drawn at a time."""
    watermark: TextWatermarkSettings | None = None
    """Watermark of all drawn text; default: none."""

    @model_validator(mode="after")
    def _beams_are_not_random(self) -> TextModelSettings:
        if self.sampling_bias < 1 and isinstance(self.decoding, BeamSettings):
            raise ValueError(
                "sampling_bias below 1 is a temperature: it needs decoding.kind: sampling"
            )
        if self.watermark is not None and isinstance(self.decoding, BeamSettings):
            raise ValueError("a watermark requires random drawing: use decoding.kind: sampling")
        return self


class TextTrainingSettings(TrainingPlan):
    """How long and how fast a language model is fitted."""

    tokens: Count = 1_024_000
    """Training budget in tokens seen; it is the same in every regime."""
    batch: BatchSize = 32
    """Windows in a training batch."""
    learning_rate: LearningRate = 2e-3
    """Largest learning rate of the schedule."""
    weight_decay: Annotated[float, Field(ge=0, le=100)] = newer_key(0.01)
    """Weight decay of the optimiser: each step shrinks the weights by this times the learning rate.
    A text that is read many times asks for more of it (about 1)."""


class TextFineTuningSettings(TextTrainingSettings):
    """How long and how fast a language model is fitted that starts from another model's weights."""

    tokens: Count = 512_000
    """Training budget in tokens seen; it is the same in every regime."""
    learning_rate: LearningRate = 5e-4
    """Largest learning rate of the schedule."""


class LanguageModelSettings(TextModelSettings):
    """A causal language model of transformers, new or pretrained."""

    kind: Literal["language_model"] = "language_model"
    network: choice(Gpt2Settings, LlamaSettings, PretrainedSettings) = Gpt2Settings()  # type: ignore[valid-type]
    """The network of the model."""
    window: Annotated[int, Field(ge=4, le=10**6)] = 128
    """Tokens of a training example, which joins successive samples of the training set; a multiple
    of `modality.block`."""
    training: TextTrainingSettings = TextTrainingSettings()
    """Plan of a fit from scratch."""
    fine_tuning: TextFineTuningSettings = TextFineTuningSettings()
    """Plan of a fit that starts from another model's weights, or from pretrained ones."""
    lora: LoraSettings | None = None
    """Train low-rank adapters in place of all weights; default: train all weights."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """Number format of the fit; drawing and measuring are always in fp32."""


class NgramSettings(TextModelSettings):
    """Counts of n-grams that back off to shorter ones (Witten and Bell 1991)."""

    kind: Literal["ngram"] = "ngram"
    order: Annotated[int, Field(ge=1, le=8)] = 3
    """n: each token depends on the n - 1 tokens before it."""
    smoothing: Annotated[float, Field(ge=0, le=1000)] = 1.0
    """Weight of the shorter context, in tokens for each different token seen after the longer one.
    At 0 the shorter context is used only where the longer one was never seen, so that an unseen
    n-gram is never drawn."""
