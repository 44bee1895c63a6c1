import math

import torch
from torch import nn

from imglab import Recipe, TorchModel


class PointDiffusion(TorchModel):
    """Denoises points by velocity (Salimans and Ho 2022) and draws by DDIM (Song et al. 2021)."""

    recipe = Recipe(examples=256_000, batch=256, learning_rate=1e-2, ema=0.99)

    def __init__(self, *, modality=None, width=64, steps=30):
        self.width = width
        self.steps = steps

    def new_network(self, shape):
        first = nn.Linear(shape[0] + 1, self.width)
        hidden = nn.Linear(self.width, self.width)
        return nn.Sequential(first, nn.SiLU(), hidden, nn.SiLU(), nn.Linear(self.width, shape[0]))

    def training_noise(self, batch, generator):
        time = torch.rand(len(batch), 1, generator=generator)
        return {"time": time, "noise": torch.randn(batch.data.shape, generator=generator)}

    def loss(self, network, batch, noise):
        # A point turns into noise along a quarter of a circle (Nichol and Dhariwal 2021).
        angle = noise["time"] * math.pi / 2
        noisy = angle.cos() * batch.data + angle.sin() * noise["noise"]
        velocity = angle.cos() * noise["noise"] - angle.sin() * batch.data
        predicted = network(torch.cat([noisy, noise["time"]], 1))
        return nn.functional.mse_loss(predicted, velocity)

    def sample_batch(self, network, noise, conditions):
        angle = math.pi / 2 / self.steps
        points = noise
        for step in range(self.steps, 0, -1):
            time = torch.full_like(points[:, :1], step / self.steps)
            velocity = network(torch.cat([points, time], 1))
            points = math.cos(angle) * points - math.sin(angle) * velocity
        return points
