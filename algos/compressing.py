"""Anyone's module through a method to integers, in one call."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, Sized
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from algos.frontend.compare import Comparison
from algos.judging import Judgement, judge
from algos.methods.plan import Patterns, Plan
from algos.methods.prepared import Prepared
from algos.methods.registry import named
from algos.recipe import Recipe
from algos.trainer import Report, Trainer, silent
from sim.network import Network

SAMPLES = 512
"""At most so many calibrate activations, of whole batches."""

Training = Recipe | Callable[[Prepared], object]


def compress(
    module: nn.Module,
    loader: Iterable[Any],
    method: str = "mvq",
    config: Any = None,
    *,
    loss: Callable[[Any, Any], Tensor] = F.cross_entropy,
    train: Training | None = None,
    include: Patterns | None = None,
    exclude: Patterns = (),
    pad: bool = False,
    permute: bool = False,
    layers: Mapping[str, Mapping[str, int]] | None = None,
    show: Callable[[Plan], None] = print,
    report: Report = silent,
    quantize: Mapping[str, Any] | None = None,
    compared: Callable[[Comparison], object] = lambda _: None,
    judged: Callable[[Judgement], object] | None = None,
    **options: Any,
) -> Network:
    """A copy of any trained module in integers.

    Args:
        loader: batches (inputs, target) to train on; the first of them calibrate activations.
        method: one of `algos.methods.registry.METHODS`.
        config: of the method; None for its defaults.
        loss: of output and target.
        train: a recipe, or a training loop of one's own, called with what is prepared; None for the method's own
            recipe.
        include, exclude, pad, permute, layers: of `Method.prepare`.
        show: called with the plan before anything is trained.
        report: called after every epoch with its number, mean loss and seconds.
        quantize: arguments of `algos.frontend.export.quantize`.
        compared: called with the SQNR and correlation of every tensor to the compressed float module.
        judged: called with the share of the calibration samples whose class is the uncompressed module's, and the
            accuracies on them, where a sample gives a row of scores.
        options: fields of the configuration by name.

    Raises:
        InputError: bad options, no layer that can be compressed, a diverging training, or what has no integers.
    """
    chosen = named(method)
    config = chosen.configured(config, options)
    float_module, module, samples = module, copy.deepcopy(module), some(loader)
    prepared = chosen.prepare(
        module,
        config,
        batches=samples,
        include=include,
        exclude=exclude,
        pad=pad,
        permute=permute,
        layers=layers,
    )
    show(prepared.plan)
    if callable(train):
        train(prepared)
    else:
        recipe = train or (chosen.recipe and chosen.recipe(config, count(loader, samples)))
        if recipe and recipe.epochs:
            Trainer(module, loader, loss, recipe, prepared=prepared, report=report).run()
    found = prepared.quantized(samples, **(quantize or {}))
    compared(found.fidelity)
    if judged and (judgement := judge(float_module, found, samples)):
        judged(judgement)
    return found.network


def some(loader: Iterable[Any]) -> list[Any]:
    """The first batches, of `SAMPLES` samples."""
    found: list[Any] = []
    seen = 0
    for batch in loader:
        found.append(batch)
        seen += _size(batch)
        if seen >= SAMPLES:
            break
    return found


def count(loader: Iterable[Any], batches: list[Any]) -> int:
    """Samples of an epoch, about."""
    return len(loader) * _size(batches[0]) if batches and isinstance(loader, Sized) else 0


def _size(batch: Any) -> int:
    while not isinstance(batch, Tensor):
        batch = next(iter(batch.values() if isinstance(batch, Mapping) else batch))
    return len(batch)
