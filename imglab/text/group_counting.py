"""How many blocks of text belong to each group of a column, by the words that each group uses."""

from __future__ import annotations

import numpy as np
import torch
from scipy.sparse import csr_array
from torch import Tensor

from imglab.groups.judged_counts import group_metrics
from imglab.measures import Measures
from imglab.metrics.confusion import Confusion, acceptance_threshold, sure_labels
from imglab.samples import Samples
from imglab.text.data import RealText


class GroupCounting:
    """Counts the groups of a column by a naive Bayes classifier of tokens, with a reject option.

    It learns how often each group uses each token, on the real training blocks. What it is sure
    enough of, and which mistakes it makes, is found on the real test blocks. The order of the
    tokens is nothing to it.
    """

    def __init__(self, real: RealText) -> None:
        """Train the classifier, and find its mistakes."""
        from sklearn.naive_bayes import MultinomialNB

        self._vocabulary = len(real.tokenizer)
        self._real = real.groups["train"]
        self._bayes = MultinomialNB()
        self._bayes.fit(self._token_counts(real.train), self._real.numbers.numpy())

        held_out = real.groups["test"]
        confidence, labels = self._judged(real.test)
        self._threshold = acceptance_threshold(confidence)
        labels = sure_labels(labels, confidence, threshold=self._threshold)
        confusion = Confusion.of(truth=held_out.numbers, labels=labels, classes=len(held_out.names))
        self._confusion = confusion.worth(real.test_documents)

    def metrics(self, samples: Samples) -> Measures:
        """Count the groups of blocks (`group_metrics`)."""
        confidence, labels = self._judged(samples.data)
        labels = sure_labels(labels, confidence, threshold=self._threshold)
        return group_metrics(labels, confusion=self._confusion, real=self._real)

    def _judged(self, blocks: Tensor) -> tuple[Tensor, Tensor]:
        """Return how sure the classifier is of each block, float64 [N], and its group, int64."""
        chances = torch.from_numpy(self._bayes.predict_proba(self._token_counts(blocks)))
        confidence, columns = chances.max(1)
        return confidence, torch.from_numpy(self._bayes.classes_)[columns]

    def _token_counts(self, blocks: Tensor) -> csr_array:
        """Return how often each block has each token, [N, vocabulary]."""
        n, length = blocks.shape
        tokens = blocks.flatten().numpy().copy()  # which the matrix sorts in place
        starts = np.arange(n + 1) * length
        counts = csr_array((np.ones(n * length), tokens, starts), shape=(n, self._vocabulary))
        counts.sum_duplicates()
        return counts
