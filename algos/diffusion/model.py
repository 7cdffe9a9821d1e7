"""Quantizers on every convolution and linear layer of a diffusion network."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from algos.diffusion.clock import Clock
from algos.diffusion.quantizers import ActivationQuantizer, Range, WeightQuantizer
from sim.errors import InputError

Bits = tuple[int, int]
"""Of a layer's weight and of its input."""

INPUT, OUTPUT = "input_quantizer", "output_quantizer"
_PRODUCTS = ("to_q", "to_k", "to_v")
"""Their outputs are operands of products, and quantized too. Probabilities stay as they are."""


def layers(model: nn.Module) -> dict[str, nn.Module]:
    """Convolutions and linear layers by name, in the order of the modules."""
    return {name: part for name, part in model.named_modules() if isinstance(part, nn.Conv2d | nn.Linear)}


@dataclass
class Quantized:
    """A network with quantizers.

    Attributes:
        model: changed in place.
        clock: attached to it.
        bits: of each layer.
    """

    model: nn.Module
    clock: Clock
    bits: dict[str, Bits]

    def weights(self) -> dict[str, WeightQuantizer]:
        """By layer."""
        named = layers(self.model)
        return {name: named[name].parametrizations.weight[0] for name in self.bits}  # type: ignore[index,union-attr]

    def activations(self, layer: str | None = None) -> list[ActivationQuantizer]:
        """Of a layer's input and, in front of a product, of its output; of all layers."""
        start = self.model if layer is None else self.model.get_submodule(layer)
        return [part for part in start.modules() if isinstance(part, ActivationQuantizer)]

    def enable(self, on: bool, only: str | None = None) -> None:
        """Switches all quantizers, or those of a layer."""
        for name, weight in self.weights().items():
            if only in (None, name):
                weight.enabled = on
                for part in self.activations(name):
                    part.enabled = on

    @contextmanager
    def watching(self) -> Iterator[None]:
        """While activations are noted; float values pass."""
        for part in self.activations():
            part.watching = True
        yield
        for part in self.activations():
            part.watching = False

    def observe(self, run: Callable[[], Any], way: Range) -> float:
        """Sets the ranges of all activations from a run in float; the mean of their squared errors.

        Quantizers are enabled afterwards.
        """
        self.enable(False)
        with self.watching(), torch.no_grad():
            run()
        errors = [part.settle(way) for part in self.activations()]
        self.enable(True)
        return sum(errors) / len(errors)

    def sizes(self) -> dict[str, int]:
        """Weights of each layer."""
        named: dict[str, Any] = dict(layers(self.model))
        return {name: named[name].weight.numel() for name in self.bits}

    def storage(self) -> int:
        """Bits of the weights."""
        return sum(size * self.bits[name][0] for name, size in self.sizes().items())


def attach(
    model: nn.Module,
    clock: Clock,
    bits: Bits | Mapping[str, Bits],
    *,
    groups: int = 1,
    way: Range = "mse",
    kind: type[WeightQuantizer] = WeightQuantizer,
) -> Quantized:
    """Puts quantizers on a float network in place, switched off until `Quantized.observe` has set them.

    Args:
        bits: of weights and inputs, of all layers or by layer.
        groups: of time steps, each with scales of its own; 1 for one scale, len(clock) for one a step.
        way: how ranges of weights are chosen.
        kind: of the weights.

    Raises:
        InputError: bits that are not 2..16, more groups than steps, or a layer without bits.
    """
    if not 1 <= groups <= len(clock):
        raise InputError("groups", groups, f"of {len(clock)} time steps", f"use 1 to {len(clock)}")
    found: dict[str, Bits] = {}
    for name, layer in layers(model).items():
        if not isinstance(bits, tuple) and name not in bits:
            raise InputError("bits", name, "the layer has none", "give bits to every layer")
        own = bits if isinstance(bits, tuple) else bits[name]
        for one in own:
            if not 2 <= one <= 16:
                raise InputError("bits", one, f"of {name}", "use 2 to 16")
        found[name] = own
        weight: Any = layer.weight
        parametrize.register_parametrization(layer, "weight", kind(weight, own[0], way), unsafe=True)
        layer.register_module(INPUT, ActivationQuantizer(own[1], groups, clock))
        layer.register_forward_pre_hook(_input)
        if name.rpartition(".")[2] in _PRODUCTS:
            layer.register_module(OUTPUT, ActivationQuantizer(own[1], groups, clock))
            layer.register_forward_hook(_output)
    clock.attach(model)
    return Quantized(model, clock, found)


def _input(layer: nn.Module, given: tuple[Any, ...]) -> tuple[Any, ...]:
    return (layer.get_submodule(INPUT)(given[0]), *given[1:])


def _output(layer: nn.Module, given: tuple[Any, ...], out: Tensor) -> Tensor:
    quantized: Tensor = layer.get_submodule(OUTPUT)(out)
    return quantized
