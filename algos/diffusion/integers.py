"""Networks of integers, one a time step, on the same weights: what the network file holds as steps."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from algos.diffusion.model import INPUT, OUTPUT, Quantized
from algos.diffusion.pool import Pool
from algos.diffusion.sampling import Condition, called
from algos.diffusion.tables import heads
from algos.frontend import export
from algos.weights.codebook import IntegerWeight
from sim.errors import InputError
from sim.network import DenseWeight, Network


class GridWeight(IntegerWeight):
    """A weight of integers and a scale a channel.

    Args:
        values: float [K, ...], whole numbers -128..127.
        scale: float [K].
    """

    values: Tensor
    scale: Tensor

    def __init__(self, values: Tensor, scale: Tensor) -> None:
        super().__init__()
        self.register_buffer("values", values.to(torch.int8))
        self.register_buffer("scale", scale)

    def forward(self, weight: Tensor) -> Tensor:
        return self.values.float() * self.scale.view(-1, *[1] * (self.values.ndim - 1))

    def stored(self) -> DenseWeight:
        whole = self.values.numpy()
        return DenseWeight(whole.reshape(*whole.shape, *[1] * (4 - whole.ndim)))

    def scales(self) -> np.ndarray:
        return self.scale.double().numpy()


class Constant(nn.Module):
    """In the place of a table: the row of one time step and class, float [1, C]."""

    row: Tensor

    def __init__(self, row: Tensor) -> None:
        super().__init__()
        self.register_buffer("row", row)

    def forward(self, *_: Any, **__: Any) -> Tensor:
        return self.row


class AtStep(nn.Module):
    """A network at one time step, for one class or text: of latents [n, C, H, W] alone."""

    def __init__(self, model: nn.Module, time: Tensor, label: int | None, text: Tensor | None) -> None:
        super().__init__()
        self.model, self.time, self.label, self.text = model, time, label, text

    def forward(self, x: Tensor) -> Tensor:
        labels = None if self.label is None else torch.full((len(x),), self.label)
        text = None if self.text is None else self.text.expand(len(x), *self.text.shape[1:])
        return called(self.model, x, self.time, Condition(labels, text))


@torch.no_grad()
def at_step(quantized: Quantized, step: int, label: int | None = None, text: Tensor | None = None) -> AtStep:
    """A copy with integer weights, ready for the front end, which chooses the scales of all tensors.

    Args:
        step: its place among the clock's.
        label: the class, None without classes.
        text: float [1, tokens, width], of the text encoder, None without one. Keys and values of cross-attention
            become constants.

    Raises:
        InputError: no such step, or weights of more than 8 bits.
    """
    clock = quantized.clock
    if not 0 <= step < len(clock):
        raise InputError("step", step, f"there are {len(clock)}", f"use 0 to {len(clock) - 1}")
    model = copy.deepcopy(quantized.model)
    model._forward_pre_hooks.clear()
    for name, (bits, _) in quantized.bits.items():
        if bits > 8:
            raise InputError("bits", bits, f"of the weight of {name}: integers have 8", "use 8 or fewer")
        layer = model.get_submodule(name)
        weight: Any = layer.parametrizations.weight  # type: ignore[union-attr]
        weight[0] = GridWeight(weight[0].integers(weight.original), weight[0].log_scale.exp())
        layer._forward_pre_hooks.clear()
        layer._forward_hooks.clear()
        for part in (INPUT, OUTPUT):
            layer._modules.pop(part, None)
    for name, table in heads(model).items():
        row = table.rows[step, label or 0]
        model.set_submodule(name, Constant(row[None].clone()))
    time = clock.times[step]
    return AtStep(model.eval(), time if time % 1 else time.long(), label, text)


def integer_steps(
    quantized: Quantized,
    pool: Pool,
    steps: Iterable[int],
    label: int | None = None,
    batch: int = 16,
    text: Tensor | None = None,
) -> list[Network]:
    """The network of integers of each of some time steps, which share their weights.

    Scales of activations are the front end's, of least squared error on the pool's latents of the step. Metadata:
    `time`, and `output_scale`, real values of the output's integer 1.

    Args:
        pool: of the quantized network, with the quantized model's time steps.
        label: of the class; latents of all classes calibrate.
        text: float [1, tokens, width], of the prompt.

    Raises:
        InputError: as `at_step` and the front end.
    """
    found = []
    for step in steps:
        module = at_step(quantized, step, label, text)
        made = export.quantize(module, pool.latents[step].split(batch), name=f"step {step}")
        output = made.network.layers[-1].name
        said = {"time": float(quantized.clock.times[step]), "output_scale": made.activations[output].scale}
        zero = made.activations[output].zero_point
        network = replace(
            made.network, name="denoiser", metadata={**made.network.metadata, **said, "output_zero": zero}
        )
        found.append(network)
    return found


def denoised(network: Network, output: np.ndarray) -> np.ndarray:
    """float64, the prediction that an integer output [n, C, H, W] stands for."""
    said: Any = network.metadata
    return (output.astype(np.float64) - said["output_zero"]) * said["output_scale"]
