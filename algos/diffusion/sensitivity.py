"""Bits layer by layer: what each layer's low precision costs in the prediction, against what it saves."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch.nn import functional as F

from algos.diffusion.model import Bits, Quantized
from algos.diffusion.pool import Pool
from algos.diffusion.sampling import Sampler
from sim.errors import InputError

Cost = Callable[[str, Bits], float]
"""Of a layer at some bits: bits of storage, joules on an accelerator, or anything that adds up."""


@torch.no_grad()
def sensitivities(quantized: Quantized, sampler: Sampler, pool: Pool, count: int = 128) -> dict[str, float]:
    """Relative squared error of the prediction with one layer quantized and all others in float.

    Args:
        pool: whose entries, `count` of them, are spread over all time steps.
    """
    latent, times, condition = pool.batch(pool.spread(count))
    quantized.enable(False)
    wanted = sampler.predict(quantized.model, latent, times, condition)
    found = {}
    for name in quantized.bits:
        quantized.enable(True, name)
        given = sampler.predict(quantized.model, latent, times, condition)
        found[name] = float(F.mse_loss(given, wanted) / wanted.square().mean())
        quantized.enable(False, name)
    quantized.enable(True)
    return found


def storage_cost(quantized: Quantized) -> Cost:
    """Bits of a layer's weight."""
    sizes = quantized.sizes()

    def cost(name: str, bits: Bits) -> float:
        return sizes[name] * bits[0]

    return cost


def assigned(errors: Mapping[Bits, Mapping[str, float]], cost: Cost, budget: float) -> dict[str, Bits]:
    """Bits of each layer within a budget: from the cheapest on, always the step that takes most error for its cost.

    Args:
        errors: sensitivities by bits, of the same layers.
        cost: of a layer; what the layers cost together stays within `budget`.

    Raises:
        InputError: even the cheapest bits cost more.
    """
    names = list(next(iter(errors.values())))
    prices = {name: {bits: cost(name, bits) for bits in errors} for name in names}
    chosen = {name: min((price, bits) for bits, price in prices[name].items())[1] for name in names}
    spent = sum(prices[name][bits] for name, bits in chosen.items())
    if spent > budget:
        raise InputError(
            "budget", budget, f"the least is {spent:g}", "give more, or fewer bits to choose from"
        )
    while True:
        steps = []
        for name, now in chosen.items():
            for bits, of in errors.items():
                more, gain = prices[name][bits] - prices[name][now], errors[now][name] - of[name]
                if gain > 0 and spent + more <= budget:
                    steps.append((gain / more if more > 0 else float("inf"), name, bits, more))
        if not steps:
            return chosen
        _, name, bits, more = max(steps)
        chosen[name], spent = bits, spent + more
