"""The ternary self-amplifying neuron in integers.

With I[t] the weighted sum of the input's digits at step t, and v = theta 2^Tc:

    V[t]  = 2 V+[t-1] + I[t]                  I[t] = 0 after the T steps of the input
    t <= Tc   silent: V+ = V
    t >  Tc   digit t - Tc: +1 if V >= v/2; -1 if V <= -v/2 and a +1 was before; else 0
              V+ = V - digit v

V[t] is 2^t times what the input has said so far less what the neuron has said. Firing at half the threshold rounds to
the nearest; a -1 takes back what an earlier digit said too much. After a first +1 what was said never falls below 0, so
that one flag makes the neuron a ReLU; a signed neuron, of a layer without one, has it from the start. Tc silent steps
let it hear before it speaks.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sim.errors import InputError

SILENT = 3
"""Silent steps at most; more only delay."""


@dataclass(frozen=True)
class Neuron:
    """Which digits a neuron may say, and when.

    Attributes:
        silent: Tc, steps in which it only listens.
        negative: it may say -1.
        half: it fires at half its threshold, not at the whole.
    """

    silent: int = 1
    negative: bool = True
    half: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.silent <= SILENT:
            raise InputError("silent", self.silent, f"a neuron is silent for 0 to {SILENT} steps", "use 1")


def fire(
    currents: Tensor, threshold: Tensor, neuron: Neuron = Neuron(), *, signed: bool = False
) -> tuple[Tensor, Tensor]:
    """Digits of some neurons.

    Args:
        currents: I, integers [T, ...].
        threshold: theta, integers above 0, of the shape of a step or broadcast to it: the value that counts as 1.
        signed: -1 may be said before any 1.

    Returns:
        int8 [T, ...], in -1, 0, 1, the one of weight 1/2 first; and what is left, V+ of the last step, int64.

    Raises:
        InputError: a signed layer of neurons that never say -1.
    """
    if signed and not neuron.negative:
        raise InputError("negative", False, "layers without ReLU say values below 0", "use ternary neurons")
    steps, most = len(currents), int(currents.abs().amax()) if currents.numel() else 0
    bits = accumulator_bits(int(threshold.max()), most, steps, neuron.silent)
    whole = torch.int32 if bits < 32 else torch.int64
    full = threshold.to(whole) << neuron.silent
    level = (
        (full + 1) // 2 if neuron.half else full
    )  # an odd threshold has a half: V >= v/2 is V >= ceil(v/2)
    charge = torch.zeros(currents.shape[1:], dtype=whole, device=currents.device)
    spoken = torch.full_like(charge, signed, dtype=torch.bool)
    digits = torch.zeros(currents.shape, dtype=torch.int8, device=currents.device)
    for t in range(1, steps + neuron.silent + 1):
        charge += charge
        if t <= steps:
            charge += currents[t - 1]
        if t <= neuron.silent:
            continue
        up = charge >= level
        digit = digits[t - neuron.silent - 1].copy_(up)
        if neuron.negative:
            digit -= ((charge <= -level) & spoken).to(torch.int8)
            spoken |= up
        charge -= digit * full
    return digits, charge.to(torch.int64)


def decoded(digits: Tensor) -> Tensor:
    """What digits [T, ...] say: sum of digit k times 2^-k, float64."""
    weights = torch.pow(2.0, -torch.arange(1, len(digits) + 1, dtype=torch.float64, device=digits.device))
    return torch.tensordot(weights, digits.to(torch.float64), dims=1)


def encoded(values: Tensor, steps: int, *, signed: bool = False) -> Tensor:
    """Binary digits of values in [0, 1), rounded to the nearest that T digits say, int8 [T, ...].

    Args:
        signed: from -1 on; the digits of a value below 0 are all 0 or -1.

    Raises:
        InputError: a value below 0, or -1, or above 1.
    """
    if values.numel() and not (float(values.min()) >= -signed and float(values.max()) <= 1):
        given = [float(values.min()), float(values.max())]
        raise InputError(
            "values",
            given,
            f"spikes {'with' if signed else 'without'} a sign say {-int(signed)} to 1",
            "scale the input, or shift it",
        )
    whole = torch.round(values.to(torch.float64).abs() * 2**steps).clamp(max=2**steps - 1).to(torch.int64)
    places = range(steps - 1, -1, -1)
    return torch.stack([((whole >> place) & 1) * torch.sign(values).long() for place in places]).to(
        torch.int8
    )


def accumulator_bits(threshold: int, current: int, steps: int, silent: int) -> int:
    """Bits of V, signed, whatever the digits are.

    |V[t]| <= 2 |V+[t-1]| + |I|; V+ falls by v where V >= v/2, but no digit stops a sum that has gone far: the bound is
    that of a neuron that never fires, |I| (2^t - 1), and of the threshold that it is compared with.

    Args:
        current: most that |I| of a step can be.
    """
    furthest = max(current * ((1 << steps) - 1) << silent, threshold << silent)
    return furthest.bit_length() + 1
