"""Which kind of loss a chain shows, from its metrics alone."""

from __future__ import annotations

from imglab.report.kind_of_loss import kind_of_loss


def rows(first, last):
    names = ("fid", "fid_shape", "recall_shape", "precision_shape", "variance_ratio")
    return [{"fid_se": 4.0, **dict(zip(names, values, strict=True))} for values in (first, last)]


def test_a_chain_that_fades_has_lost_moments():
    """The figures of a finished chain of digits, recomputed with per-pixel moments restored."""
    loss = kind_of_loss(rows((24, 24, 0.92, 0.9, 0.905), (146, 62, 0.88, 0.7, 0.649)))
    assert loss is not None
    assert loss.name == "moments"
    assert loss.described().startswith("69% of the rise of the Fréchet distance is fading")
    assert "tail" not in loss.described()


def test_a_chain_that_loses_its_tail():
    loss = kind_of_loss(rows((14, 14, 0.9, 0.9, 0.98), (83, 75, 0.6, 0.85, 0.97)))
    assert loss is not None
    assert loss.name == "tail"


def test_a_chain_that_loses_structure():
    loss = kind_of_loss(rows((14, 14, 0.9, 0.9, 0.98), (83, 75, 0.8, 0.4, 1.01)))
    assert loss is not None
    assert loss.name == "structure"


def test_recall_that_falls_with_the_variance_alone_is_no_lost_tail():
    """The figures of `image_digits_8x8`, generations 0 and 5."""
    first, last = rows((0.079, 0.072, 0.829, 0.746, 0.907), (0.277, 0.226, 0.864, 0.501, 0.65))
    chain = [{**first, "fid_se": 0.01, "recall": 0.798}, {**last, "fid_se": 0.02, "recall": 0.584}]
    loss = kind_of_loss(chain)
    assert loss is not None
    assert loss.name == "structure"
    said = "Recall fell by 0.21 as drawn, and does not fall when they are matched."
    assert loss.described().endswith(said)


def test_a_shift_of_brightness_is_not_called_fading():
    loss = kind_of_loss(rows((14, 14, 0.9, 0.9, 0.995), (83, 16, 0.9, 0.9, 0.995)))
    assert loss is not None
    assert "a shift of mean and scale" in loss.described()


def test_what_does_not_fall_is_not_lost():
    loss = kind_of_loss(rows((14, 14, 0.8, 0.75, 0.98), (83, 75, 0.82, 0.79, 0.97)))
    assert loss is not None
    assert loss.name == "neither"
    assert loss.described().endswith("neither recall nor precision then falls beyond its error.")


def test_a_rise_within_its_error_has_no_kind():
    assert kind_of_loss(rows((14, 14, 0.9, 0.9, 0.98), (20, 19, 0.8, 0.4, 1.01))) is None


def test_runs_without_shape_have_no_kind():
    assert kind_of_loss([{"fid": 1.0}, {"fid": 100.0}]) is None
