"""Model cards: what a `model/` folder is and how to draw from it without imglab."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from imglab.safe_text import printable
from imglab.text.decoding_settings import BeamSettings
from imglab.text.settings import TextModelSettings

CODE = """\
{extra}from transformers import AutoModelForCausalLM, AutoTokenizer

model, tokenizer = AutoModelForCausalLM.from_pretrained("model"), AutoTokenizer.from_pretrained("model")
prompt = tokenizer("The statement", return_tensors="pt", add_special_tokens=False)
tokens = model.generate(**prompt, max_new_tokens={block}, {decoding})
print(tokenizer.decode(tokens[0]))
"""  # noqa: E501 (a card's bytes stay as they are)

ADAPTED = """\
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

base = AutoModelForCausalLM.from_pretrained(BASE)  # the folder, or the name on the hub, of {base}
model, tokenizer = PeftModel.from_pretrained(base, "model"), AutoTokenizer.from_pretrained("model")
prompt = tokenizer("The statement", return_tensors="pt", add_special_tokens=False)
tokens = model.generate(**prompt, max_new_tokens={block}, {decoding})
print(tokenizer.decode(tokens[0]))
"""

MERGING = """\
for number in range({before}):
    base = PeftModel.from_pretrained(base, f"model/before/{{number:03d}}").merge_and_unload()
"""
LAST = "model, tokenizer ="
"""The line of `ADAPTED` before which the others are merged."""

NGRAM_IMPORT = "import imglab.text.ngram_network  # makes the n-gram model known to transformers\n"


def text_card(
    kind: str,
    settings: TextModelSettings,
    block: int,
    training: Mapping[str, Any],
    base: str | None = None,
    before: int = 0,
    w: float = 0.0,
) -> str:
    """Return the text of a card for a text model.

    base    the name of the pretrained model whose adapters the folder holds; None: it is whole
    before  how many adapters are to be merged into the base before those of the folder
    w       strength of the guidance away from the network in `negative/`; 0: there is none
    """
    title = "A language model of an imglab chain"
    if base is not None:
        title = f"Adapters for {printable(base)}, a language model of an imglab chain"
    elif kind == "ngram":
        title = "An n-gram model of an imglab chain"

    code = _code(kind, base, before, block, _decoding(settings))
    guidance = ""
    if w != 0:
        guidance = (
            f"It was led away from the network in `negative/` with strength {w:g}; "
            "the code below draws without.\n"
        )
    return (
        "---\nlibrary_name: transformers\ntags: [imglab, model-collapse]\n---\n\n"
        f"# {title}\n\n"
        f"Fitted on {training.get('samples_seen', 0):,} samples of {block} tokens seen.\n"
        f"The chain continued prompts of {block} tokens by {block} more, decoding as below.\n"
        f"{guidance}\n"
        f"```python\n{code}```\n"
    )


def _code(kind: str, base: str | None, before: int, block: int, decoding: str) -> str:
    """Return the code that opens a model and draws with it, by these arguments of `generate`."""
    if base is None:
        extra = ""
        if kind == "ngram":
            extra = NGRAM_IMPORT
        return CODE.format(extra=extra, block=block, decoding=decoding)

    code = ADAPTED.format(base=repr(base), block=block, decoding=decoding)
    if before:
        code = code.replace(LAST, MERGING.format(before=before) + LAST)
    return code


def _decoding(settings: TextModelSettings) -> str:
    """Return the arguments of `generate` that decode as the settings say."""
    decoding = settings.decoding
    penalties = ""
    if decoding.repetition_penalty != 1:
        penalties += f", repetition_penalty={decoding.repetition_penalty:g}"
    if decoding.no_repeat_ngram is not None:
        penalties += f", no_repeat_ngram_size={decoding.no_repeat_ngram}"

    if isinstance(decoding, BeamSettings):
        if decoding.length_penalty is not None:
            penalties += f", length_penalty={decoding.length_penalty:g}"
        return f"num_beams={decoding.beams}, do_sample=False{penalties}"
    temperature = decoding.temperature * settings.sampling_bias
    return (
        f"do_sample=True, temperature={temperature:g}, top_k={decoding.top_k or 0}, "
        f"top_p={decoding.top_p:g}{penalties}"
    )
