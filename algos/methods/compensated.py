"""RTN, GPTQ, GPTAQ, ResComp and W*: uniform levels of a few bits, chosen on samples without a training."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from algos.batches import calibration
from algos.compensation.driver import KINDS, Compensated, Compensation, Layer, round_layers
from algos.compensation.scales import Rounding
from algos.compensation.solve import Carried, Solver
from algos.flow import order
from algos.methods.method import Method, described
from algos.methods.plan import Target
from algos.methods.prepared import LayerReport, Prepared, Task
from algos.weights.bits import Bits
from algos.weights.codebook import IntegerWeight, attach
from algos.weights.levels import FORMS, Form, LevelWeight
from algos.weights.scalar import KINDS as SCALED
from algos.weights.scalar import ScalarWeight, scalar_bits
from sim.errors import InputError


@dataclass(frozen=True)
class RoundingConfig:
    """Levels of the weights (RTN)."""

    bits: int = described("of a weight", 4)
    group: int | None = described("inputs that share a scale; by default all of an output", None)
    zero_points: bool = described("levels of a range that need not lie around 0", False)
    clip_search: bool = described("the range of least error of power 2.4, not the largest weight's", True)

    whole_scales: bool = described(
        "of groups: small integers times a step of their output, as the accelerator's formats hold them", True
    )

    elements: Form = described(
        "of the weights: uniform levels (int), mxfp4, nvfp4, ternary or palette", "int"
    )
    entries: int = described("of a palette, one a layer", 16)

    d = 1
    """A weight is a codeword of its own."""

    def __post_init__(self) -> None:
        self.rounding()
        self.solver()

    @property
    def k(self) -> int:
        """Levels of a uniform element, entries of a palette; the other forms have their own."""
        return self.entries if self.elements == "palette" else 2**self.bits

    def rounding(self) -> Rounding:
        return Rounding(
            self.bits,
            not self.zero_points,
            self.inputs,
            self.clip_search,
            static=self.static,
            scale_levels=self.scale_levels,
            form=self.elements,
            entries=self.entries,
        )

    @property
    def inputs(self) -> int | None:
        """That share a scale: as said, or as the form has it."""
        return self.group or (None if self.elements == "int" else FORMS[self.elements].group)

    static = True

    @property
    def scale_levels(self) -> int | None:
        """Of whole scales, as the format of these bits has them."""
        if self.group is None or not self.whole_scales or self.bits not in SCALED or self.elements != "int":
            return None
        return SCALED[self.bits].scale_bounds[1]

    def solver(self) -> Solver | None:
        """None where each weight goes to its nearest level."""
        return None


@dataclass(frozen=True)
class GptqConfig(RoundingConfig):
    """GPTQ (arXiv 2210.17323), with the options of GPTAQ's scripts."""

    static: bool = described(
        "scales of the weights as given, not as compensated when their group comes", True
    )
    act_order: bool = described("inputs of large second moment first", True)
    damping: float = described("added to the diagonal of the second moments, in units of its mean", 0.01)
    block: int = described("inputs whose effect on later ones is gathered into one product", 128)

    def solver(self) -> Solver:
        return Solver(damping=self.damping, act_order=self.act_order, block=self.block)


@dataclass(frozen=True)
class OptimumConfig(GptqConfig):
    """GPTQ from W* = W0 (I + D H^-1), the exact optimum of what GPTAQ and ResComp aim at."""

    def solver(self) -> Solver:
        return Solver(0.0, 0.0, True, self.damping, self.act_order, self.block)


@dataclass(frozen=True)
class GptaqConfig(GptqConfig):
    """GPTAQ (arXiv 2504.02692)."""

    alpha1: float = described("share of the input's own error that later inputs make up for", 0.25)
    carried: Carried | None = described(
        "what later blocks take for a block's weights: clamped, exact or rounded; by default rounded at 2 bits, "
        "else clamped",
        None,
    )

    def solver(self) -> Solver:
        return Solver(
            self.alpha1, self.alpha2, False, self.damping, self.act_order, self.block, self._carried
        )

    @property
    def _carried(self) -> Carried:
        """As the published code: what is clamped may run away at 2 bits."""
        few = self.elements == "ternary" or (self.elements == "int" and self.bits == 2)
        return self.carried or ("rounded" if few else "clamped")

    alpha2 = 0.0


@dataclass(frozen=True)
class RescompConfig(GptaqConfig):
    """ResComp (arXiv 2604.07955), with the shares of its published code."""

    alpha2: float = described("share of the distance to the given weights that later inputs pull back", 0.25)


def encode(task: Task) -> Prepared:
    """Rounds the layers of the plan in the order in which they run.

    Raises:
        InputError: no samples where the method looks at them, layers of other kinds, groups that do not divide, or
            second moments that stay singular.
    """
    how = Compensation(task.config.rounding(), task.config.solver())
    layers, batches = dict(_layers(task)), list[Any]()
    if how.solver is not None:
        batches = list(calibration(task.batches, task.module))
        layers = {name: layers[name] for name in order(task.module, batches[0], KINDS) if name in layers}
    before = {name: layer.weight.detach().clone() for name, layer in layers.items()}
    reports = {}
    for name, found in round_layers(task.module, batches, layers, how).items():
        error = float((found.weight() - before[name]).square().sum())
        reports[name] = LayerReport(error, error, task.plan.targets[name].bits)
        attach(layers[name], _weight(found, task.config))
    return task.prepared(reports)


def _weight(found: Compensated, config: RoundingConfig) -> IntegerWeight:
    codes, scale, zero = (
        torch.cat([getattr(one, part) for one in found.groups]) for part in ("codes", "scale", "zero")
    )
    steps = [one.step for one in found.groups if one.step is not None]
    step = torch.cat(steps) if steps else None
    levels = found.groups[0].levels
    if levels is None:
        return ScalarWeight(codes, scale, zero, found.shape, config.bits, step)
    return LevelWeight(config.elements, levels, codes, scale, found.shape, step)


def _layers(task: Task) -> Iterator[tuple[str, Layer]]:
    for name, target in task.plan.targets.items():
        if not isinstance(target.layer, KINDS):
            kind = type(target.layer).__name__
            raise InputError("layers", name, f"is a {kind}, which is not compensated", "exclude it")
        yield name, target.layer


def storage(config: RoundingConfig, targets: Sequence[Target]) -> list[Bits]:
    """Of the layers."""
    found = []
    for target in targets:
        outputs, inputs = len(target.layer.weight), target.layer.weight[0].numel()
        groups = inputs // (config.inputs or inputs)
        if config.elements != "int":
            found.append(FORMS[config.elements].bits(outputs * inputs, outputs * groups, config.entries))
            continue
        found.append(
            scalar_bits(outputs, inputs, config.bits, groups, config.zero_points, config.scale_levels)
        )
    return found


METHODS: tuple[Method[Any], ...] = tuple(
    Method(name, about, config, encode, storage)
    for name, about, config in (
        ("rtn", "each weight to its nearest level", RoundingConfig()),
        ("gptq", "later inputs make up for each input's rounding error (arXiv 2210.17323)", GptqConfig()),
        (
            "gptaq",
            "GPTQ that also makes up for what rounded layers before it changed (arXiv 2504.02692)",
            GptaqConfig(),
        ),
        ("rescomp", "GPTAQ that also pulls back to the given weights (arXiv 2604.07955)", RescompConfig()),
        ("wstar", "GPTQ from the exact optimum of the float network's outputs", OptimumConfig()),
    )
)
