"""Checks of a kind of data: its real samples, its stream of fresh ones, features and pictures."""

from __future__ import annotations

from pathlib import Path

import torch

from imglab.check.watch import CHECKED, check_samples, share_close, still
from imglab.modality import FreshData, Modality
from imglab.samples import REAL, Samples


def check_real(modality: Modality) -> None:
    """Check the real samples of both splits against what the modality says of them."""
    spec = still("spec", lambda: modality.spec)

    for split in ("train", "test"):
        call = f"real({split!r})"
        real = still(call, lambda split=split: modality.real(split))  # type: ignore[misc]
        check_samples(real, spec, call)
        assert len(real), f"{call} is empty"
        assert bool((real.origin == REAL).all()), f"{call} must have origin {REAL}"
        again = modality.real(split)
        assert torch.equal(real.data, again.data), f"{call} differs from call to call"

        if spec.conditions is not None:
            assert real.condition is not None, f"{call} has no condition, but spec names some"
            largest = int(real.condition.max())
            assert largest < len(spec.conditions), f"{call} has a condition beyond spec.conditions"


def check_fresh(modality: Modality) -> None:
    """Check the stream of fresh data, if there is one."""
    stream = modality.ability(FreshData)
    if stream is None:
        return

    available = stream.fresh_available()
    if available is None or available >= 4:
        whole = still("fresh", lambda: stream.fresh(4, first=0, seed=3))
        tail = stream.fresh(2, first=2, seed=3)
        check_samples(whole, modality.spec, "fresh")
        same = torch.equal(whole.data[2:], tail.data)
        assert same, "fresh(n, first=k) must continue the stream, not start a new one"

    if available is not None:
        try:
            stream.fresh(available + 1, first=0, seed=3)
        except ValueError:
            return
        raise AssertionError("fresh data beyond fresh_available() must raise ValueError")


def check_features(modality: Modality) -> None:
    """Check the extractor: what it returns, and that each row is of one sample alone."""
    real = modality.real("test")[:CHECKED]
    features = still("features", lambda: modality.features(real))
    assert features.dim() == 2, "features must be [N, D]"
    assert len(features) == len(real), "features must have one row for each sample"
    assert features.dtype == torch.float32, f"features must be float32, not {features.dtype}"
    assert bool(features.isfinite().all()), "features of real samples must be finite"
    assert torch.equal(features, modality.features(real)), "features differ from call to call"
    assert str(modality.extractor), "the extractor needs a name"

    # Another batch size may round differently; features that are relative to the batch differ
    # nearly everywhere.
    first = len(real) // 3
    alone = modality.features(real[first:])
    close = share_close(alone, features[first:], 0.002)
    assert close > 0.99, "the features of a sample must not depend on the others of its batch"


def check_shown(modality: Modality, drawn: Samples, folder: Path) -> None:
    """Check what a person sees of samples: words and the picture."""
    words = still("read", lambda: modality.read(drawn))
    if words is not None:
        assert len(words) == len(drawn), "read must return one entry for each sample"
        for entry in words:
            unknown = set(entry) - {"text", "prompt", "label"}
            assert not unknown, f"read returned a key that nothing shows: {sorted(unknown)[0]}"

    pictures = [folder / f"one-{modality.picture}", folder / f"two-{modality.picture}"]
    for path in pictures:
        still("render", lambda path=path: modality.render([drawn], path))  # type: ignore[misc]
        assert path.is_file(), "render must write the file that it is given"
    same = pictures[0].read_bytes() == pictures[1].read_bytes()
    assert same, "render must give the same bytes for the same samples"
