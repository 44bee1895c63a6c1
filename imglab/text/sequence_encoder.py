"""Features of text that see the order of its words: what a language model makes of it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from imglab import seeds
from imglab.modality import Extractor
from imglab.progress import report
from imglab.samples import Samples, TrainingSet
from imglab.store import files
from imglab.text.fitting import fit_network
from imglab.text.gpt2 import encoder_shape, new_gpt2
from imglab.text.settings import SequenceEncoderSettings, TextTrainingSettings
from imglab.training.devices import device
from imglab.training.threads import Threads

FILE = "sequence_encoder.safetensors"

HASH_LENGTH = 12
"""Digits of the weights' sha256 in the name of the extractor."""

DROPOUT = 0.1
"""Keeps the network from learning the training text by heart: held-out text is to look like it."""

OFFSETS = 4
"""The training text is cut into blocks from so many positions on."""

ORDER_WEIGHTS = torch.tensor([2.0, 2.0, 2.0, 2.0, 4.0])
"""Weights of the order features; a content feature weighs 1.

The order of words shows in a few features and their content in many. With equal weights the
neighbours of a text would be texts of its subject, whatever their order. What the first half says
of the second shows in the last feature alone.
"""

WORD_ORDERS = 2
"""Random orders of all words over which their gain is averaged."""

NEARBY = 4
"""Words that change places with one another in the gain of nearby words."""

MOST_LOGITS = 2**24
"""Numbers that the network may return at a time, which bounds its memory."""

FEWEST_WORDS = 0.05
"""Share of the tokens that begin a word, in a text that shows where words begin."""

WORD_MARKS = ("Ġ", "Ċ", "ĉ", "▁", " ", "\n", "\t")
"""What a token begins with that begins a word, in byte-level BPE and in SentencePiece."""


class SequenceEncoder(Extractor):
    """Measures by a small language model, trained once on the real text, what a text says and how.

    Content: the first principal components of the mean hidden state, each with deviation 1.
    Order, with s the mean surprisal of a text's tokens in nats under the model:

    - s itself
    - by how much s rises when all words of the text are put into a random order
    - the same when only words near each other change places
    - the same for pairs of tokens in place of words
    - by how much the surprisal of the second half rises without the first half

    A text whose words are in no order gains nothing from another order, so these rises are 0 for
    it, and they are positive for real text. The orders are the same for all texts. All features are
    scaled on the real training text, and those of order weigh `ORDER_WEIGHTS`. Deterministic: the
    same text, settings and thread count give the same weights.
    """

    def __init__(self, settings: SequenceEncoderSettings, tokenizer: PreTrainedTokenizerBase):
        self._settings = settings
        self._tokenizer = tokenizer
        self._begins_word = torch.ones(len(tokenizer), dtype=torch.bool)
        self._network: PreTrainedModel | None = None
        self._scales: dict[str, Tensor] = {}
        self._hash = ""

    @property
    def name(self) -> str:
        """`sequence encoder@` and the first digits of the sha256 of weights and scales."""
        return f"sequence encoder@{self._hash}"

    def prepare(self, real: Tensor, shared: Path) -> None:
        """Train on the real training blocks, once, and store weights and scales in `shared`."""
        path = shared / FILE
        self._begins_word = _begins_word(self._tokenizer, real)
        network = self._new_network(real.shape[1])
        if not path.exists():
            self._fit(network, real)
            self._network = network.eval().to(device())
            weights = {name: tensor.detach().cpu() for name, tensor in network.named_parameters()}
            tensors = weights | _scales(*self._measured(real), self._settings.content)
            files.write_atomically(path, lambda temporary: save_file(tensors, temporary))

        # Always from the file, so that the process that has trained measures as those that resume.
        tensors = load_file(path)
        self._scales = {name: tensors.pop(name) for name in SCALES}
        network.load_state_dict(tensors, strict=False)
        network.tie_weights()
        self._network = network.eval().to(device())
        self._hash = files.sha256_file(path)[:HASH_LENGTH]

    def features(self, tokens: Tensor) -> Tensor:
        """Return content and order of each text, float32 [N, content + 5]."""
        content, order = self._measured(tokens)
        content = (content - self._scales["content_mean"]) @ self._scales["content_axes"]
        order = (order - self._scales["order_mean"]) / self._scales["order_deviation"]
        return torch.cat([content, ORDER_WEIGHTS * order], 1)

    def _new_network(self, block: int) -> PreTrainedModel:
        settings = self._settings
        shape = encoder_shape(layers=settings.layers, width=settings.width, dropout=DROPOUT)
        with seeds.isolated(settings.seed, "sequence_encoder"):
            return new_gpt2(shape, self._tokenizer, block)

    def _fit(self, network: PreTrainedModel, real: Tensor) -> None:
        # Many small batches: with few large ones the network barely gets beyond word frequencies.
        plan = TextTrainingSettings(tokens=self._settings.tokens, batch=16, learning_rate=3e-3)
        train = TrainingSet.of(Samples.real(_at_offsets(real)))
        seed = seeds.derive(self._settings.seed, "sequence_encoder")
        for progress in fit_network(network, train, plan, join=1, seed=seed):
            report("extractor", progress.seen, progress.total)

    def _measured(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mean states [N, width] and the order measurements [N, 5], float32."""
        most = max(1, MOST_LOGITS // (tokens.shape[1] * len(self._tokenizer)))
        threads = Threads(device())
        shares = threads.shares(range(len(tokens)), most)
        batches = []
        for first in range(0, len(shares), len(threads)):
            together = shares[first : first + len(threads)]
            some = [tokens[rows.start : rows.stop] for rows in together]
            batches += threads.map(self._measured_batch, some)
            report("features of texts", together[-1].stop, len(tokens))
        states, order = zip(*batches, strict=True)
        return torch.cat(states), torch.cat(order)

    @torch.inference_mode()
    def _measured_batch(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        states, surprisal = self._read(tokens)
        mean = surprisal.mean(1)

        def gain(reorder: Callable[[Tensor], Tensor]) -> Tensor:
            return self._read(reorder(tokens))[1].mean(1) - mean

        everywhere = partial(self._words_moved, span=tokens.shape[1])
        in_any_order = [gain(partial(everywhere, number=number)) for number in range(WORD_ORDERS)]
        nearby = gain(partial(self._words_moved, number=WORD_ORDERS, span=NEARBY))

        half = tokens.shape[1] // 2
        alone = self._read(tokens[:, half:])[1].mean(1)
        gains = [
            torch.stack(in_any_order).mean(0),
            nearby,
            gain(_pairs_moved),
            alone - surprisal[:, half:].mean(1),
        ]
        return states, torch.stack([mean, *gains], 1)

    def _read(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mean hidden state [N, width] and the surprisal of tokens 2 to T [N, T - 1].

        The states are those after the last norm; the surprisal is in nats.
        """
        if self._network is None:
            raise RuntimeError("the encoder has not been prepared")

        tokens = tokens.to(device())
        states = self._network.transformer(tokens).last_hidden_state
        logits = self._network.lm_head(states[:, :-1])
        likelihood = logits.float().log_softmax(-1).gather(2, tokens[:, 1:, None])
        return states.mean(1).cpu(), -likelihood[:, :, 0].cpu()

    def _words_moved(self, tokens: Tensor, *, number: int, span: int) -> Tensor:
        """Put the words of each text into random order number `number`, within spans of words."""
        word = self._begins_word[tokens].long().cumsum(1)  # [N, T]
        keys = torch.rand(tokens.shape[1] + 1, generator=seeds.generator("words", number))
        place = word // span + keys.double()[word]
        return tokens.gather(1, place.argsort(dim=1, stable=True))


SCALES = ("content_mean", "content_axes", "order_mean", "order_deviation")


def _scales(states: Tensor, order: Tensor, count: int) -> dict[str, Tensor]:
    """Return what features are scaled by: means, axes of the content, deviations of the order."""
    mean = states.mean(0)
    _, deviations, axes = torch.linalg.svd((states - mean).double(), full_matrices=False)
    deviations = deviations / (len(states) - 1) ** 0.5

    # Directions in which the states do not vary have no scale.
    varies = int((deviations > 1e-6 * deviations[0]).sum())
    most = min(count, varies)
    return {
        "content_mean": mean,
        "content_axes": (axes[:most].T / deviations[:most]).float().contiguous(),
        "order_mean": order.mean(0),
        "order_deviation": order.std(0).clamp(min=1e-6),
    }


def _at_offsets(real: Tensor) -> Tensor:
    """Cut the text of the blocks [N, T] again from several positions on, int64 [M, T]."""
    block = real.shape[1]
    stream = real.flatten()
    cuts = []
    for offset in range(0, block, max(1, block // OFFSETS)):
        whole = (len(stream) - offset) // block * block
        cuts.append(stream[offset : offset + whole].view(-1, block))
    return torch.cat(cuts)


def _pairs_moved(tokens: Tensor) -> Tensor:
    """Put pairs of successive tokens into a random order; the last token of an odd number goes."""
    pairs = tokens.shape[1] // 2
    order = torch.randperm(pairs, generator=seeds.generator("pairs"))
    return tokens[:, : 2 * pairs].view(-1, pairs, 2)[:, order].flatten(1)


def _begins_word(tokenizer: PreTrainedTokenizerBase, real: Tensor) -> Tensor:
    """Say of each token whether it begins a word, bool [V].

    In a text that hardly shows where words begin, as in Chinese, each token counts as a word.
    """
    pieces = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
    begins = torch.tensor([(piece or "").startswith(WORD_MARKS) for piece in pieces])
    if begins[real].float().mean() < FEWEST_WORDS:
        return torch.ones_like(begins)
    return begins
