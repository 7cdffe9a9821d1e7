"""Latents of whole trajectories, to draw batches of mixed time steps from."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from algos.diffusion.sampling import Condition, Sampler


@dataclass(frozen=True)
class Pool:
    """What a network saw while it drew.

    Attributes:
        latents: float [T, N, C, H, W], at each time step of N pictures.
        times: float64 [T].
        condition: of the N pictures.
    """

    latents: Tensor
    times: Tensor
    condition: Condition

    def __len__(self) -> int:
        return self.latents.shape[0] * self.latents.shape[1]

    def batch(self, chosen: Tensor) -> tuple[Tensor, Tensor, Condition]:
        """Latents, time steps and conditions of entries 0..T*N-1, time step by time step."""
        count = self.latents.shape[1]
        step, picture = chosen // count, chosen % count
        return self.latents[step, picture], self.times[step], self.condition[picture]

    def spread(self, count: int) -> Tensor:
        """So many entries at equal distances over all time steps and pictures: each time step about equally often."""
        places = torch.arange(count) * len(self) // count
        pictures = self.latents.shape[1]
        return (
            places // pictures * pictures + torch.arange(count) * 7 % pictures
        )  # 7: neighbours differ in picture


@torch.no_grad()
def rollout(model: nn.Module, sampler: Sampler, noise: Tensor, condition: Condition, batch: int = 64) -> Pool:
    """Draws pictures from noise [N, C, H, W], and keeps what the network was given.

    Of a quantized network this is the serial half of "serial-to-parallel calibration" (inspired by arXiv 2412.06661).
    """
    parts: list[list[Tensor]] = []
    for start in range(0, len(noise), batch):
        part = slice(start, start + batch)
        seen: dict[int, Tensor] = {}
        sampler.run(
            model, noise[part], condition[part], lambda n, x, _, seen=seen: seen.__setitem__(n, x.clone())
        )
        parts.append(list(seen.values()))
    latents = torch.stack([torch.cat(one) for one in zip(*parts, strict=True)])
    times = sampler.fresh().timesteps.double()
    return Pool(latents, times, condition)
