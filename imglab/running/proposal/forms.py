"""Forms that a config for given data may have, the best first. No torch.

A form is a chain of full training. Images have the recipe of configs/image_digits.yaml, scaled to
their size and colour; texts that of configs/text_pydoc.yaml ("Better").
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from imglab.config.merge import merged

SIDES = (96, 64, 48, 32, 28, 24, 16)
"""Sides of images that are proposed, beside the images' own one."""

PIXELS = 16
"""Side at which the network sees an image: squares of pixels become channels."""

JUDGED = 30_000
"""Images that the extractor sees in training, as in configs/image_digits.yaml."""

FEWEST_JUDGED = 12_000
"""The same for larger images, which take longer."""

JUDGED_EPOCHS = 32
"""How often the extractor sees an image at most."""

EPOCHS = 120
"""How often generation 0 sees a real image at most."""

SEEN = 112_000
"""Images that generation 0 sees in training at most, as in configs/image_digits.yaml."""

LONG = 2
"""How many times these many it may see of photos, where there is time. Of 935 photos of 64 x 64 it
then has a variance ratio of 1.00 in place of 1.12, a recall of .85 in place of .80, and samples
that lie no nearer to the training set, in two fits (docs/your_data.md)."""

ENOUGH_PHOTOS = 900
"""Fewer, seen so often, could be learnt by heart: they were not tried."""

TEXT_EPOCHS = 16
"""How often it sees a block of text at most."""

JUDGED_SIDE = 32
"""The largest side for which the extractor sees all of `JUDGED`."""

MOST_DRAWN = 2_000
"""Images that a generation draws at most."""

BLOCKS = (4_000, 1_000)
"""Blocks of text that a chain is trained on at most."""

ENCODED = 300_000
"""Tokens that the extractor of text sees in training."""

VOCABULARIES = {400_000: 2048, 100_000: 1024, 0: 512}
"""Tokens of a vocabulary, by the bytes of text that there are at least."""

NARROW = (32, 64)
WIDE = (64, 128)
"""Channels of the network of images; the wide one takes about four times as long."""

WIDE_FACTOR = 4.0

SCANS = {"highest_noise": 20, "lowest_noise": 0.05, "steps": 16}
"""Noise between which images are drawn, as in configs/image_digits.yaml."""

PHOTOS = {"highest_noise": 80, "lowest_noise": 0.02, "steps": 32}
"""The same for larger images and for colour. In the mean over many pixels brightness and colour
outlast noise that hides all else (Hoogeboom et al. 2023, 2301.11093), and fine detail begins at
less: the same fit to 935 photos of 64 x 64 draws them with a variance of .94 of the real ones in
place of .66 (docs/your_data.md)."""


TRIAL = (
    "generation 0 of 935 photos of 64 x 64 came close to its gate and missed it (FID .083 beside "
    "a floor of .049 ± .023, variance ratio .94): look at its gate first"
)
"""What is known of photos: docs/your_data.md has the tables."""

LONG_TRIAL = (
    "generation 0 of 935 photos of 64 x 64 came close to its gate and missed it (FID .087 and .127 "
    "of two fits beside a floor of .053 ± .018, variance ratio 1.00): look at its gate first"
)
"""The same where generation 0 is trained longer."""


@dataclass(frozen=True)
class Form:
    """A config, and what it costs beside another one.

    described  what is special about it
    tree       the config of one chain, without a name
    factors    how much longer each stage takes than in a form that has 1 there, by stage
    trial      what came out where the recipe was tried, if that is not a good generation 0
    """

    described: str
    tree: Mapping[str, Any]
    factors: Mapping[str, float] = field(default_factory=dict)
    trial: str = ""


def image_forms(
    modality: Mapping[str, Any], side: int, n: int, *, colour: bool, classes: bool
) -> tuple[list[Form], Form | None]:
    """Return the forms for images, the best first; and one with a wide network, or None.

    The largest side comes first. Of many photos it also comes with a longer training, before that.

    modality  the section that reads them
    side      side to which they are, or are to be, brought; n: training images
    classes   whether they have labels
    """
    sides = [each for each in SIDES if each < side]
    sides = [side, *sides]
    forms = [
        _image_form(modality, each, n, colour=colour, classes=classes, channels=NARROW)
        for each in sides
        if each <= max(SIDES) and patch_of(each) is not None
    ]
    if not forms:
        return [], None

    wide = _image_form(
        modality,
        forms[0].tree["modality"]["size"],
        n,
        colour=colour,
        classes=classes,
        channels=WIDE,
    )
    if colour and n >= ENOUGH_PHOTOS:
        forms.insert(0, _trained_longer(forms[0]))
    return forms, wide


def _trained_longer(form: Form) -> Form:
    """Return a form whose generation 0 sees `LONG` times as many images."""
    seen = LONG * form.tree["model"]["training"]["images"]
    return Form(
        f"{form.described}, {seen:,} images seen in training",
        merged(form.tree, {"model": {"training": {"images": seen}}}, "config"),
        {**form.factors, "fit": LONG * form.factors["fit"]},
        LONG_TRIAL,
    )


def patch_of(side: int) -> int | None:
    """Return the side of the squares that become channels; None where no network takes the rest.

    >>> [patch_of(side) for side in (8, 28, 32, 48, 64, 96)]
    [1, 2, 2, 3, 4, 6]
    """
    for patch in range(max(1, round(side / PIXELS)), 0, -1):
        if side % (2 * patch) == 0:
            return patch
    return None


def _image_form(
    modality: Mapping[str, Any],
    side: int,
    n: int,
    *,
    colour: bool,
    classes: bool,
    channels: Sequence[int],
) -> Form:
    judged = round(min(JUDGED, max(FEWEST_JUDGED, JUDGED * (JUDGED_SIDE / side) ** 2)), -3)
    judged = min(judged, JUDGED_EPOCHS * n)
    kind = "self_supervised"
    if classes:
        kind = "classifier"

    tree = {
        "start": "previous",
        "samples": min(n, MOST_DRAWN),
        "modality": {**modality, "size": side, "extractor": {"kind": kind, "images": int(judged)}},
        "model": _diffusion(side, channels, n, colour=colour, classes=classes),
    }
    factor = 1.0
    if channels == WIDE:
        factor = WIDE_FACTOR
    factors = {"prepare": side**2 * judged, "fit": factor, "draw": factor, "measure": side**2}
    network = f"channels {', '.join(map(str, channels))}"
    return Form(f"{side} x {side} pixels, {network}", tree, factors, TRIAL if colour else "")


def _diffusion(
    side: int, channels: Sequence[int], n: int, *, colour: bool, classes: bool
) -> dict[str, Any]:
    """Return the model's section of configs/image_digits.yaml, for images of another size.

    n  how many there are: a few of them, seen over and over, would be learnt by heart
    """
    fit = {"batch": 64, "decay": "linear", "optimizer": "muon"}
    noise = SCANS
    if colour or side > JUDGED_SIDE:
        noise = PHOTOS
    return {
        "kind": "diffusion",
        "class_conditional": classes,
        "label_dropout": 0.0,
        "patch": patch_of(side),
        "channels": list(channels),
        "flip": colour,
        "prediction": "flow_image",
        "noise_levels": {"mean": 0.5, "deviation": 1.0},
        "sampler": "sde-dpm-solver++",
        **noise,
        "half_life": 0.06,
        "training": {"images": min(SEEN, EPOCHS * n), "learning_rate": 3e-3, **fit},
        "fine_tuning": {"images": min(6_400, EPOCHS * n), "learning_rate": 2e-3, **fit},
        "precision": "bf16",
    }


def text_forms(modality: Mapping[str, Any], train: int, test: int, size: int) -> list[Form]:
    """Return the forms for text, the largest first.

    modality     the section that reads it
    train, test  blocks that it has; size: bytes of it
    """
    forms: list[Form] = []
    for most in BLOCKS:
        n_train = min(train, most)
        if forms and n_train == train:
            break
        n_test = min(test, most // 4)
        forms.append(_text_form(modality, n_train, n_test, size, train, test))
    return forms


def _text_form(
    modality: Mapping[str, Any], n_train: int, n_test: int, size: int, train: int, test: int
) -> Form:
    cut: dict[str, int] = {}
    if n_train < train:
        cut["n_train"] = n_train
    if n_test < test:
        cut["n_test"] = n_test
    budget = 64
    while budget * 2 <= min(16_384, 64 * n_train, 64 * n_test):
        budget *= 2

    fit = {"batch": 8, "optimizer": "muon", "decay": "linear", "weight_decay": 0.1}
    tree: dict[str, Any] = {
        "start": "scratch",
        "shown": 16,
        "modality": {
            **modality,
            "tokenizer": {"kind": "bpe", "vocabulary": vocabulary_of(size)},
            "block": 64,
            **cut,
            "prompts": "current",
            "extractor": {"kind": "sequence_encoder", "tokens": ENCODED},
            "token_budget": budget,
        },
        "model": {
            "kind": "language_model",
            "network": {"kind": "llama", "layers": 2, "width": 128, "heads": 4, "dropout": 0.1},
            "window": 128,
            "training": {
                "tokens": min(512_000, TEXT_EPOCHS * 64 * n_train),
                "learning_rate": 1e-2,
                **fit,
            },
            "decoding": {"kind": "sampling", "temperature": 1.0, "top_p": 0.95},
            "precision": "bf16",
        },
    }
    factors = {"prepare": _encoded(n_train, n_test), "draw": n_train, "measure": n_train}
    return Form(f"{n_train:,} blocks of 64 tokens", tree, factors)


def _encoded(n_train: int, n_test: int) -> float:
    """Return how many blocks the extractor reads: in training, and in six orders for features.

    A block that it learns from counts three times, for the way back. It measures the training set
    twice: once to scale its features.
    """
    return 3 * ENCODED / 64 + 6 * (2 * n_train + n_test)


def vocabulary_of(size: int) -> int:
    """Return the tokens of a vocabulary for so many bytes of text.

    >>> [vocabulary_of(size) for size in (50_000, 200_000, 460_000)]
    [512, 1024, 2048]
    """
    for least, vocabulary in VOCABULARIES.items():
        if size >= least:
            return vocabulary
    return min(VOCABULARIES.values())
