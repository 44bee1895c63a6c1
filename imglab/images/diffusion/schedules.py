"""What the settings of a diffusion model make: its objective, its sampler and its scheduler."""

from __future__ import annotations

from typing import Any

from imglab.images.diffusion.drawing import SAMPLERS
from imglab.images.diffusion.karras import HIGHEST, LOWEST, KarrasSampler
from imglab.images.diffusion.noising import (
    Edm,
    Flow,
    FlowOfImages,
    Noising,
    VariancePreserving,
)
from imglab.images.diffusion.settings import DiffusionSettings, NoiseLevels

TIMESTEPS = 1000

DEVIATION = 0.5
"""Standard deviation of pixels in [-1, 1] that EDM's preconditioning assumes."""

FLOWS = {"flow": "flow_prediction", "flow_image": "sample"}
"""What diffusers calls the predictions of rectified flow."""

FLOW_LEVELS = NoiseLevels()
"""The noise that rectified flow trains on (Esser et al. 2024, 2403.03206, section 3.1)."""

EDM_LEVELS = NoiseLevels(mean=-1.2, deviation=1.2)
"""The noise that EDM trains on (Karras et al. 2022, table 1)."""


def new_noising(settings: DiffusionSettings) -> Noising:
    """Return how noise is added, and what the network predicts."""
    from diffusers import DDPMScheduler

    if settings.prediction == "flow":
        return Flow(TIMESTEPS, FLOW_LEVELS)
    if settings.prediction == "flow_image":
        return FlowOfImages(TIMESTEPS, FLOW_LEVELS)
    if settings.prediction == "edm":
        return Edm(DEVIATION, EDM_LEVELS)
    return VariancePreserving(DDPMScheduler(**_schedule(settings), clip_sample=False))


def new_sampler(settings: DiffusionSettings) -> Any:
    """Return what draws: a `KarrasSampler`, or a scheduler of diffusers."""
    import diffusers

    solver = settings.sampler
    if settings.on_karras_levels and solver != "ddim" and solver != "ddpm":
        return KarrasSampler(
            solver,
            clip=settings.prediction == "epsilon",
            highest=settings.highest_noise,
            lowest=settings.lowest_noise,
            stop=settings.stop,
        )

    schedule = {**_schedule(settings), "timestep_spacing": "trailing"}
    if solver != "dpm-solver++":
        scheduler = getattr(diffusers, SAMPLERS[solver])
        return scheduler(**schedule, clip_sample=True)
    if settings.prediction != "epsilon":
        return diffusers.DPMSolverMultistepScheduler(**schedule)

    # The noise predicted at the last times says next to nothing about the image: without a bound,
    # the first step explodes.
    return diffusers.DPMSolverMultistepScheduler(
        **schedule, thresholding=True, sample_max_value=1.0
    )


def new_scheduler(settings: DiffusionSettings) -> Any:
    """Return the scheduler of diffusers with which the fitted network draws outside of the lab.

    It is the lab's sampler where that is one of diffusers, otherwise one for the same objective.
    """
    from diffusers import DPMSolverMultistepScheduler, EDMDPMSolverMultistepScheduler

    if settings.prediction in FLOWS:
        return DPMSolverMultistepScheduler(
            num_train_timesteps=TIMESTEPS,
            prediction_type=FLOWS[settings.prediction],
            use_flow_sigmas=True,
        )
    if settings.prediction == "edm":
        return EDMDPMSolverMultistepScheduler(
            sigma_min=LOWEST, sigma_max=HIGHEST, sigma_data=DEVIATION
        )
    if settings.on_karras_levels:
        plain = {"sampler": "dpm-solver++", "spacing": "trailing"}
        settings = settings.model_copy(update=plain)
    return new_sampler(settings)


def _schedule(settings: DiffusionSettings) -> dict[str, Any]:
    return {
        "num_train_timesteps": TIMESTEPS,
        "beta_schedule": settings.schedule,
        "prediction_type": settings.prediction,
    }
