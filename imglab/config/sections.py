"""The sections of a config that every kind of data has. They are read without torch."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Annotated, Any, Literal, get_type_hints

from pydantic import Field, SerializerFunctionWrapHandler, create_model, model_serializer

from imglab import regimes
from imglab.config.section import PLUG_IN_NAME, Section
from imglab.regimes.registry import CALL


def regime_section(name: str, function: Callable[..., object]) -> type[Section]:
    """Return the section that holds a regime's keys: what its function takes beside each call's.

    Types, bounds and descriptions of the keys are read from the function's annotations.
    """
    # What the function returns is annotated with a class whose import needs torch; any will do.
    hints = get_type_hints(function, localns={"Selection": object}, include_extras=True)
    fields: dict[str, Any] = {"kind": (Literal[name], name)}
    for key, parameter in inspect.signature(function).parameters.items():
        if key in CALL:
            continue
        default = parameter.default
        if default is inspect.Parameter.empty:
            default = ...  # which pydantic takes for: the key is required
        fields[key] = (hints[key], default)

    title = name.title().replace("_", "")
    return create_model(
        f"{title}Settings", __base__=Section, __doc__=inspect.getdoc(function), **fields
    )


REGIME_SECTIONS = {
    name: regime_section(name, function) for name, function in regimes.REGIMES.items()
}
"""The sections of the regimes that ship, by name."""
REGIMES = tuple(REGIME_SECTIONS.values())
DEFAULT_REGIME = REGIME_SECTIONS["replace"]()


class GateSettings(Section):
    """What generation 0 must reach before its chain is called a collapse.

    A key that is left out has the default of the kind of data, which may be not to ask.
    """

    variance_ratio: Annotated[float, Field(ge=0, le=1)] | None = None
    """Least total variance of the samples, relative to real data. Images: 0.95."""
    excess_fid: Annotated[float, Field(ge=0, le=1000)] | None = None
    """Most Fréchet distance above its floor, in standard deviations of the floor. Images: 1."""
    precision: Annotated[float, Field(ge=0, le=1)] | None = None
    """How far precision may lie below its floor. Images: 0.05."""
    recall: Annotated[float, Field(ge=0, le=1)] | None = None
    """How far recall may lie below its floor. Images: 0.05."""
    further_training: Annotated[float, Field(gt=0, le=1)] | None = None
    """Share by which one more fit on real data may still lower the loss on held-out real data. It
    costs one more fit. Text: 0.02."""
    trusted: Annotated[float, Field(gt=0, le=1000)] | None = None
    """How many standard deviations the metrics that calibration trusts may lie from their floors.
    Text: 2."""


KeepChoice = Literal["all", "last"] | Annotated[int, Field(ge=1, le=10**6)]


class KeepSettings(Section):
    """What of each generation stays on disk: of all of them, of the last one, or of every n-th.

    What a chain still needs stays in any case: the models of the first and the last generation.
    """

    models: KeepChoice = "all"
    """Models. What was removed cannot be forked from, judged or exported."""
    samples: KeepChoice = "all"
    """Samples, which are removed when the run is finished. A run without them cannot go on to more
    generations under a regime that reads them."""
    features: KeepChoice = "all"
    """Features of the samples."""


class MeasureSettings(Section):
    """What generations are compared with, and how."""

    reference: Literal["train", "test"] = "test"
    """Which split of the real data the samples are compared with."""
    precision_recall_k: Annotated[int, Field(ge=1, le=10**6)] = 3
    """Neighbours that span the manifold of precision and recall."""
    density_coverage_k: Annotated[int, Field(ge=1, le=10**6)] = 5
    """Neighbours that span the manifold of density and coverage."""
    floor_splits: Annotated[int, Field(ge=20, le=1000)] = 200
    """How many random disjoint splits of the real data stand behind each floor."""
    samples: Annotated[int, Field(ge=2, le=10**9)] | None = None
    """How many samples of each generation are scored: a draw of its own, so that chains that draw
    different numbers for the pool compare. Default: what is drawn for the pool is scored."""
    gate: GateSettings | Literal["none"] = GateSettings()
    """What generation 0 must reach before its chain is called a collapse; `none` asks nothing."""
    metrics: Annotated[
        tuple[Annotated[str, Field(pattern=PLUG_IN_NAME)], ...], Field(strict=False)
    ] = ()
    """Further metrics, each `module:function`: called with the features of both sets, `real=` and
    `synthetic=`, it returns a number. Each gets a floor from the same splits."""

    @model_serializer(mode="wrap")
    def _leave_out_defaults(self, inner: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Write no key that is newer than format 3 at its default: older configs have none."""
        tree: dict[str, Any] = inner(self)
        if self.samples is None:
            tree.pop("samples", None)
        if self.gate == GateSettings():
            tree.pop("gate", None)
        if not self.metrics:
            tree.pop("metrics", None)
        return tree
