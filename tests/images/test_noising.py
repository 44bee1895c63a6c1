"""Objectives and samplers: closed forms, and a Gaussian that an exact denoiser draws again."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from diffusers import EDMDPMSolverMultistepScheduler

from imglab.images.diffusion.denoiser import PatchDenoiser, PixelDenoiser
from imglab.images.diffusion.drawing import draw_images
from imglab.images.diffusion.karras import dpm_solver, heun, karras_sigmas
from imglab.images.diffusion.noising import Edm, Flow, log_normal
from imglab.images.diffusion.schedules import EDM_LEVELS, new_noising, new_sampler
from imglab.images.diffusion.settings import DiffusionSettings, NoiseLevels
from imglab.samples import Samples

PREDICTIONS = ["epsilon", "v_prediction", "flow", "edm"]


def noising_of(prediction, **keys):
    return new_noising(DiffusionSettings(prediction=prediction, **keys))


@pytest.fixture(scope="module")
def images():
    """Clean images of standard deviation .5, and noise."""
    clean, noise = torch.randn(2, 40, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    return clean / 2, noise


class TestObjectives:
    @pytest.mark.parametrize("prediction", PREDICTIONS)
    def test_what_the_network_should_predict_gives_the_clean_image(self, prediction, images):
        clean, noise = images
        noising = noising_of(prediction)
        times = noising.times(torch.linspace(0.01, 0.9, 40), None)
        noisy = noising.add_noise(clean, noise, times)
        a, b = (share[:, None, None, None] for share in noising.shares(times))
        torch.testing.assert_close(noisy, a * clean + b * noise)

        predicted = noising.target(clean, noise, times)
        restored = noising.clean(noisy, predicted, a, b)
        torch.testing.assert_close(restored, clean, rtol=1e-3, atol=1e-3)

        # The sampler asks by the noise level alone.
        sigma = (b / a).flatten()
        back, share = noising.at(sigma)
        torch.testing.assert_close(back, times.float(), rtol=1e-4, atol=0.01)
        torch.testing.assert_close(share, a.flatten(), rtol=1e-4, atol=1e-5)

    def test_rectified_flow_is_a_straight_line_from_image_to_noise(self, images):
        clean, noise = images
        noising = noising_of("flow")
        halfway = noising.add_noise(clean, noise, torch.full((40,), 500.0))
        torch.testing.assert_close(halfway, (clean + noise) / 2)
        assert torch.equal(noising.target(clean, noise, torch.zeros(40)), noise - clean)

    @pytest.mark.parametrize("sigma", [0.01, 0.5, 3.0, 80.0])
    def test_edm_has_unit_variance_throughout(self, sigma, images):
        """For data of the deviation that it assumes (Karras et al. 2022, appendix B.6)."""
        clean, noise = images
        noising = Edm(0.5, EDM_LEVELS)
        times = torch.full((40,), math.log(sigma) / 4)
        assert float(noising.add_noise(clean, noise, times).var()) == pytest.approx(1, abs=0.03)
        assert float(noising.target(clean, noise, times).var()) == pytest.approx(1, abs=0.03)

    def test_noise_levels_are_log_normal(self):
        quantiles = (torch.arange(4000) + 0.5) / 4000
        logs = log_normal(quantiles, NoiseLevels(mean=-0.5, deviation=1.5)).log()
        assert float(logs.mean()) == pytest.approx(-0.5, abs=1e-3)
        assert float(logs.std()) == pytest.approx(1.5, abs=0.01)

        # The share of noise of rectified flow is then logit-normal (Esser et al. 2024).
        shares = noising_of("flow").times(quantiles, None) / 1000
        assert float(shares.logit().std()) == pytest.approx(1, abs=0.01)

    @pytest.mark.parametrize("prediction", PREDICTIONS)
    def test_noise_levels_that_a_config_asks_for(self, prediction):
        noising = noising_of(prediction)
        quantiles = (torch.arange(400) + 0.5) / 400
        times = noising.times(quantiles, NoiseLevels(mean=-1, deviation=0.5))
        a, b = noising.shares(times)
        logs = (b / a).log()
        assert float(logs.mean()) == pytest.approx(-1, abs=0.02)
        assert float(logs.std()) == pytest.approx(0.5, abs=0.02)

    def test_a_pretrained_flow_is_trained_at_its_whole_times(self):
        assert Flow(4).times(torch.tensor([0, 0.3, 0.6, 0.99]), None).tolist() == [1, 2, 3, 4]


class TestMinSnr:
    @pytest.mark.parametrize(
        ("prediction", "divisor"),
        [
            ("epsilon", lambda snr: snr),
            ("v_prediction", lambda snr: snr + 1),
            # Of the squared error b^2 of noise - clean, with b = 1 / (1 + sqrt(snr)).
            ("flow", lambda snr: (1 + snr.sqrt()) ** 2),
        ],
    )
    def test_weights(self, prediction, divisor):
        """Hang et al. 2023: min(snr, 5) / snr for noise, min(snr, 5) / (snr + 1) for velocity."""
        noising = noising_of(prediction)
        times = noising.times(torch.linspace(0.02, 0.95, 30), None)
        a, b = noising.shares(times)
        snr = (a / b) ** 2
        expected = snr.clamp(max=5) / divisor(snr)
        torch.testing.assert_close(noising.min_snr(times, most=5), expected, rtol=1e-4, atol=0)

    def test_of_pure_noise(self):
        noising = noising_of("flow")
        assert noising.min_snr(torch.tensor([1000.0]), most=5).tolist() == [0]


class Exact(PixelDenoiser):
    """Knows that pixels are normal with mean .3 and deviation .2."""

    noising: Any

    def predict(self, network, noisy, times, labels):
        a, b = (share[:, None, None, None] for share in self.shares(times))
        mean, variance = 0.3, 0.2**2
        clean = mean + variance * a / (variance * a**2 + b**2) * (noisy - a * mean)

        # `clean` is affine in what is predicted.
        zero = self.noising.clean(noisy, torch.zeros_like(noisy), a, b)
        one = self.noising.clean(noisy, torch.ones_like(noisy), a, b)
        return (clean - zero) / (one - zero)

    def shares(self, times):
        """Shares at times that may lie between whole ones."""
        if not times.is_floating_point() or self.noising.__class__.__name__ != "VariancePreserving":
            return self.noising.shares(times)
        log_sigma = torch.as_tensor(
            [self._log_sigma(float(time)) for time in times], dtype=torch.float32
        )
        a = (1 + (2 * log_sigma).exp()) ** -0.5
        return a, a * log_sigma.exp()

    def _log_sigma(self, time):
        table = self.noising._log_sigmas
        low = min(int(time), len(table) - 2)
        return float(table[low] + (time - low) * (table[low + 1] - table[low]))


class TestSamplers:
    @pytest.mark.parametrize(
        ("prediction", "sampler", "spacing", "steps"),
        [
            *((each, "dpm-solver++", "karras", 60) for each in PREDICTIONS),
            *((each, "heun", "karras", 60) for each in PREDICTIONS),
            *((each, "sde-dpm-solver++", None, 60) for each in PREDICTIONS),
            ("epsilon", "dpm-solver++", "trailing", 60),
            ("v_prediction", "dpm-solver++", "trailing", 60),
            ("epsilon", "ddim", None, 200),
            ("v_prediction", "ddim", None, 200),
            ("epsilon", "ddpm", None, 500),
            ("v_prediction", "ddpm", None, 500),
        ],
    )
    def test_an_exact_denoiser_draws_its_gaussian(self, prediction, sampler, spacing, steps):
        settings = DiffusionSettings(prediction=prediction, sampler=sampler, spacing=spacing)
        denoiser = Exact(torch.nn.Linear(1, 1), new_noising(settings), (1, 8, 8))
        batches = draw_images(
            denoiser, new_sampler(settings), settings, steps, range(64), conditions=None, seed=3
        )
        drawn = Samples.concatenate(list(batches)).data.double() / 127.5 - 1
        assert float(drawn.mean()) == pytest.approx(0.3, abs=0.02)
        assert float(drawn.std()) == pytest.approx(0.2, rel=0.05)

    def test_karras_levels(self):
        """Equation 5 of Karras et al. 2022, and 0 in the end."""
        sigmas = karras_sigmas(18)
        assert len(sigmas) == 19
        assert sigmas[[0, 17, 18]].tolist() == pytest.approx([80, 0.002, 0])
        roots = sigmas[:-1].double() ** (1 / 7)
        assert torch.allclose(roots.diff(), roots.diff().mean().expand(17), rtol=1e-3)

    @pytest.mark.parametrize("is_stochastic", [False, True])
    def test_dpm_solver_draws_as_that_of_diffusers(self, is_stochastic):
        kind = "sde-dpmsolver++" if is_stochastic else "dpmsolver++"
        scheduler = EDMDPMSolverMultistepScheduler(algorithm_type=kind, final_sigmas_type="zero")
        scheduler.set_timesteps(20)
        noise = torch.randn(3, 1, 4, 4, generator=torch.Generator().manual_seed(0))
        theirs, ours = (torch.Generator().manual_seed(1) for _ in range(2))

        def clean(images, sigma):
            return (images / (1 + sigma)).tanh()

        images = noise * 80
        for time, sigma in zip(scheduler.timesteps, scheduler.sigmas[:-1], strict=True):
            scheduler.scale_model_input(images, time)
            # The scheduler takes what a network with EDM's preconditioning predicts.
            skip = 0.25 / (sigma**2 + 0.25)
            out = sigma * 0.5 * (sigma**2 + 0.25) ** -0.5
            predicted = (clean(images, sigma) - skip * images) / out
            images = scheduler.step(predicted, time, images, generator=theirs).prev_sample

        def fresh():
            return torch.randn(noise.shape, generator=ours)

        drawn = dpm_solver(clean, noise, karras_sigmas(20), fresh if is_stochastic else None)
        torch.testing.assert_close(drawn, images, rtol=1e-3, atol=1e-3)

    def test_errors_of_both_solvers_fall_with_the_square_of_the_steps(self):
        """On N(0, 1): images / (1 + sigma^2) is clean, and sqrt(1 + 80^2) the variance's root."""
        noise = torch.ones(1, dtype=torch.float64)
        exact = 80 / math.sqrt(1 + 80**2)

        def clean(images, sigma):
            return images / (1 + sigma.double() ** 2)

        for solve in (dpm_solver, heun):
            errors = []
            for steps in (20, 40):
                drawn = solve(clean, noise, karras_sigmas(steps, lowest=1e-4).double())
                errors.append(abs(float(drawn) - exact))
            assert errors[1] < errors[0] / 3


def test_patches_are_taken_apart_and_put_together():
    denoiser = PatchDenoiser(2, torch.nn.Linear(1, 1), noising_of("flow"), (12, 4, 4))
    images = torch.arange(2 * 3 * 8 * 8.0).reshape(2, 3, 8, 8)
    codes = denoiser.encode(images, images)
    assert codes.shape == (2, 12, 4, 4)
    assert codes[0, :4, 0, 0].tolist() == images[0, 0, :2, :2].flatten().tolist()
    assert torch.equal(denoiser.decode(codes), images)
