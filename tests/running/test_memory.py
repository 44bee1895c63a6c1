"""Memory that sizes ask for is known before anything is allocated, and never overestimated."""

from __future__ import annotations

import pytest
import torch

from imglab.config.load import validate_config
from imglab.config.merge import with_changes
from imglab.errors import InputError
from imglab.running.memory import TRAINED, check_memory, needs

TEXT = {"name": "x", "modality": {"kind": "text"}, "model": {"kind": "language_model"}}
IMAGE = {"name": "x", "modality": {"kind": "image"}, "model": {"kind": "diffusion"}}
VECTORS = {"name": "x", "modality": {"kind": "gaussian"}, "model": {"kind": "mixture"}}


def config(tree, *changes):
    return validate_config(with_changes(tree, changes), "test")


class Tokens:
    """As much of a tokenizer as a new network asks for."""

    eos_token_id = 0

    def __init__(self, size):
        self.size = size

    def __len__(self):
        return self.size


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
@pytest.mark.parametrize(("width", "layers", "vocabulary"), [(64, 2, 300), (256, 3, 5000)])
def test_a_language_model_has_no_fewer_weights(kind, width, layers, vocabulary):
    from imglab.text.networks import new_network

    sizes = f"{{kind: {kind}, width: {width}, layers: {layers}}}"
    bpe = f"{{kind: bpe, vocabulary: {vocabulary}}}"
    checked = config(TEXT, f"model.network={sizes}", f"modality.tokenizer={bpe}")
    with torch.device("meta"):
        network = new_network(checked.model.network, Tokens(vocabulary), checked.model.window)
    compare(checked, "model.network.width", network)


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        (["model.channels=[32, 64]"], "model.channels"),
        (["model.channels=[64, 128, 256]", "model.layers_per_block=2"], "model.channels"),
        (["model.network={kind: dit, width: 96, layers: 4}"], "model.network.width"),
    ],
)
def test_a_diffusion_model_has_no_fewer_weights(changes, key):
    from imglab.images.diffusion.networks import new_network

    checked = config(IMAGE, *changes)
    with torch.device("meta"):
        network = new_network(checked.model, (1, 8, 8), None)
    compare(checked, key, network)


def compare(checked, key, network):
    """Compare an estimate with a network that was made: at most all of it, and at least a half."""
    (need,) = [need for need in needs(checked) if need.key == key]
    weights = sum(each.numel() for each in network.parameters())
    assert weights / 2 < need.size / TRAINED <= weights


@pytest.mark.parametrize(
    ("tree", "changes", "said"),
    [
        (TEXT, ["model.network={kind: gpt2, width: 8192, layers: 96}"],
         "model.network.width: 8,192"),
        (TEXT, ["modality.tokenizer={kind: words, vocabulary: 1000000}",
                "model.network={kind: gpt2, width: 4096}"], "model.network.width: 4,096"),
        (TEXT, ["modality.extractor={kind: encoder, width: 4096, layers: 48}"],
         "modality.extractor.width: 4,096"),
        (TEXT, ["model.window=1000000"], "model.window: 1,000,000"),
        (TEXT, ["model.training.batch=65536"], "model.training.batch: 65,536"),
        (IMAGE, ["model.channels=[1024, 4096]"], "model.channels: 4,096"),
        (IMAGE, ["model.network={kind: dit, width: 4096, layers: 64, heads: 1}"],
         "model.network.width: 4,096"),
        (IMAGE, ["model={kind: vae, hidden: [65536, 65536]}"], "model.hidden: 65,536"),
        (VECTORS, ["modality.dimensions=4096", "model.components=1024"],
         "model.components: 1,024"),
        (IMAGE, ["model={kind: population, models: [{kind: diffusion, channels: [4096, 4096]}, "
                 "{kind: vae}]}"], "model.models.0.channels: 4,096"),
    ],
)  # fmt: skip
def test_what_cannot_fit_is_refused_by_its_key_with_what_would(tree, changes, said):
    with pytest.raises(InputError) as refused:
        check_memory({"": config(tree, *changes)}, "a.yaml", 4 << 30)
    text = str(refused.value)
    assert f"a.yaml: {said} asks for" in text
    assert "of memory; the machine has 4.3 GB" in text

    # What the message calls fitting does fit.
    key, _, _ = said.partition(": ")
    fitting = [int(line.split("about ")[1].split(" ")[0].replace(",", ""))
               for line in text.splitlines() if f"{key}: " in line]  # fmt: skip
    assert fitting[0] >= 1


@pytest.mark.parametrize("tree", [TEXT, IMAGE, VECTORS])
def test_the_defaults_fit_into_a_gigabyte(tree):
    check_memory({"": config(tree)}, "a.yaml", 1 << 30)


def test_chains_with_the_same_problem_have_it_once():
    large = config(IMAGE, "model.channels=[4096, 4096]")
    with pytest.raises(InputError) as refused:
        check_memory({"chains.a.": large, "chains.b.": large}, "a.yaml", 1 << 30)
    (problem,) = refused.value.problems
    assert problem.where == "a.yaml: chains.a.model.channels"
