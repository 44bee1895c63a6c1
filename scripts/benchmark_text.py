"""Benchmarks of text chains, for scripts/benchmark.py."""

from __future__ import annotations

import statistics
from functools import partial
from typing import TYPE_CHECKING, Any

from benchmark_tools import ROOT, Rows, finish, in_turn, row, scratch, seconds

if TYPE_CHECKING:
    from imglab import Modality

STEPS = 150
BATCH = 16
TOKENS = 128
"""Tokens in a training window of configs/text_pydoc.yaml."""


def text_chain(change: str) -> tuple[Modality, Any]:
    """Return modality and model of configs/text_pydoc.yaml with one key changed."""
    import imglab

    config = ROOT / "configs" / "text_pydoc.yaml"
    experiment = imglab.Run.from_file(config, scratch() / "run", [change]).experiment
    return experiment.modality, experiment.models[0]


def bench_text_fit() -> Rows:
    """Training as in configs/text_pydoc.yaml, against a bare PyTorch loop.

    Network and batch are the same.
    """
    import torch

    from imglab import TrainingSet

    modality, model = text_chain(f"model.training.tokens={STEPS * BATCH * TOKENS}")
    train = modality.real("train")
    windows = train.data[: len(train) // 2 * 2].view(-1, TOKENS)

    def fit() -> Any:
        return finish(model.fit(TrainingSet.of(train), start=None, seed=0))

    network = fit().network
    network.set_attn_implementation("eager")

    def bare() -> None:
        optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, fused=True)
        for _ in range(STEPS):
            tokens = windows[torch.randint(len(windows), (BATCH,))]
            with torch.autocast("cpu", torch.bfloat16):
                logits = network(input_ids=tokens, use_cache=False).logits
            loss = torch.nn.functional.cross_entropy(
                logits[:, :-1].float().flatten(0, 1), tokens[:, 1:].flatten()
            )

            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    unit = f"s for {STEPS} steps of {BATCH} x {TOKENS} tokens (bare PyTorch loop)"
    return {"text_fit": row(*in_turn(fit, bare, 5), unit)}


def bench_text_draw() -> Rows:
    """Continuing 512 prompts of 64 tokens by 64, against `generate`.

    The peer has the same settings and its best batch size.
    """
    import torch
    from transformers.utils import logging

    from imglab import TrainingSet

    logging.set_verbosity_error()
    modality, model = text_chain("model.training.tokens=2048")
    prompts = modality.real("train").data[:512]
    fitted = finish(model.fit(TrainingSet.of(modality.real("train")), start=None, seed=0))

    def generate(batch: int) -> None:
        for part in prompts.split(batch):
            fitted.network.generate(
                part,
                attention_mask=torch.ones_like(part),
                max_new_tokens=64,
                min_new_tokens=64,
                do_sample=True,
                temperature=0.9,
                top_p=0.95,
                top_k=0,
                pad_token_id=0,
            )

    def median_seconds(batch: int) -> float:
        return statistics.median(seconds(partial(generate, batch)) for _ in range(3))

    def ours() -> None:
        fitted.sample(512, conditions=prompts, seed=0)

    best = min((64, 128, 256, 512), key=median_seconds)
    times = in_turn(ours, partial(generate, best), 7)
    return {"text_draw": row(*times, f"s for 512 texts (transformers.generate, batches of {best})")}
