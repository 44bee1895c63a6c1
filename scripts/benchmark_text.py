"""Benchmarks of text chains, for scripts/benchmark.py."""

from __future__ import annotations

import copy
import itertools
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any

from benchmark_tools import ROOT, Rows, cheapest, in_pairs, peer_row, scratch

from imglab.progress import finish

if TYPE_CHECKING:
    from imglab import Modality

STEPS = 60
BATCH = 16
TOKENS = 128
"""Tokens in a training window of configs/text_pydoc.yaml."""
DRAWN = 256


def text_chain(change: str) -> tuple[Modality, Any]:
    """Return modality and model of configs/text_pydoc.yaml with one key changed."""
    import imglab

    config = ROOT / "configs" / "text_pydoc.yaml"
    experiment = imglab.Run.from_file(config, scratch() / "run", [change]).experiment
    return experiment.modality, experiment.models[0]


def bench_text_fit() -> Rows:
    """Training as in configs/text_pydoc.yaml, against a bare PyTorch loop at its best.

    Network, batch and precision are the same; the bare loop takes the faster form of attention.
    """
    import torch

    from imglab import TrainingSet

    modality, model = text_chain(f"model.training.tokens={STEPS * BATCH * TOKENS}")
    train = modality.real("train")
    windows = train.data[: len(train) // 2 * 2].view(-1, TOKENS)

    def fit() -> Any:
        return finish(model.fit(TrainingSet.of(train), start=None, seed=0))

    fitted = fit().network

    def bare(attention: str) -> None:
        network = copy.deepcopy(fitted).train()
        network.set_attn_implementation(attention)
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

    best = cheapest({name: partial(bare, name) for name in ("eager", "sdpa")}, runs=1)
    pairs = in_pairs(fit, partial(bare, best))
    unit = f"CPU-s for {STEPS} steps of {BATCH} x {TOKENS} tokens, bf16 (bare loop, {best})"
    return {"text_fit": peer_row(pairs, unit, reach=0.97)}


def bench_text_draw(texts: int = DRAWN) -> Rows:
    """Continuing prompts of 64 tokens by 64, against `generate` at its best.

    The peer has the same settings, in the best of several batch sizes and number formats.
    """
    import torch
    from transformers.utils import logging

    from imglab import TrainingSet

    logging.set_verbosity_error()
    modality, model = text_chain("model.training.tokens=2048")
    prompts = modality.real("train").data[:texts]
    fitted = finish(model.fit(TrainingSet.of(modality.real("train")), start=None, seed=0))

    def generate(batch: int, in_bf16: bool) -> None:
        precision: Any = nullcontext()
        if in_bf16:
            precision = torch.autocast("cpu", torch.bfloat16)
        with precision:
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

    ways = {}
    batches = [batch for batch in (32, 64, 128, 256) if batch <= texts]
    for batch, in_bf16 in itertools.product(batches, (False, True)):
        precision = ("fp32", "bf16")[in_bf16]
        ways[f"batches of {batch}, {precision}"] = partial(generate, batch, in_bf16)
    best = cheapest(ways, runs=1)

    pairs = in_pairs(partial(fitted.sample, texts, conditions=prompts, seed=0), ways[best])
    unit = f"CPU-s for {texts} texts of 64 tokens (transformers.generate, {best})"
    return {"text_draw": peer_row(pairs, unit, reach=1.5)}
