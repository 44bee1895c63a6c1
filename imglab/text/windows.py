"""How many tokens a language model must read, and whether its network can."""

from __future__ import annotations

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from imglab.errors import InputError, Problem
from imglab.text.hub import reads_at_most
from imglab.text.networks import new_network
from imglab.text.pretrained import NETWORK
from imglab.text.settings import LanguageModelSettings
from imglab.training.lora import adapter_problems


def check_sizes(
    settings: LanguageModelSettings,
    network: PreTrainedModel | None,
    tokenizer: PreTrainedTokenizerBase,
    block: int,
) -> None:
    """Raise InputError unless network, tokenizer, windows and blocks fit together."""
    problems = []
    window = settings.window
    if window % block:
        whole = max(1, round(window / block)) * block
        what = f"{window} is not a multiple of modality.block, {block}: a window is whole samples"
        problems.append(Problem("model.window", what, f"e.g. {whole}"))

    if network is None and window < 2 * block:
        what = (
            f"a window of {window} tokens never trains the places where a continuation of a "
            f"{block}-token prompt stands"
        )
        problems.append(Problem("model.window", what, f"at least {2 * block}"))

    needed = needed_tokens(settings, block)
    if network is not None:
        short = too_short(network, needed)
        if short:
            remedy = "use a smaller modality.block or model.window"
            problems.append(Problem(NETWORK, f"the network {short}", remedy))

    if settings.lora is not None:
        adapted = network
        if adapted is None and not problems:
            with torch.device("meta"):
                adapted = new_network(settings.network, tokenizer, needed)
        problems += adapter_problems(settings.lora, adapted)
    if problems:
        raise InputError(problems)


def needed_tokens(settings: LanguageModelSettings, block: int) -> int:
    """Return how many tokens a network must read: a window, or a prompt and its continuation."""
    return max(settings.window, 2 * block)


def too_short(network: PreTrainedModel, needed: int) -> str | None:
    """Say that a network cannot read as many tokens as are needed, if it cannot."""
    bound = reads_at_most(network)
    if bound is None or bound >= needed:
        return None
    return f"reads {bound} tokens at most, {needed} are needed"
