"""How often a network of integers says what its float module says, and what is right."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from algos import reference
from algos.frontend.arguments import arguments, required
from algos.frontend.export import Quantized
from algos.frontend.record import evaluating


@dataclass(frozen=True)
class Judgement:
    """Of samples of classes.

    Attributes:
        agreement: share of the samples whose largest result is the float module's too.
        accuracy, accuracy_float: share of right answers of the integers and of the float module; None without
            labels.
    """

    samples: int
    agreement: float
    accuracy: float | None = None
    accuracy_float: float | None = None

    def __str__(self) -> str:
        said = f"{self.agreement:.2%} of {self.samples:,} samples get the class that the float module gives"
        if self.accuracy is None:
            return said
        return f"{said}; accuracy {self.accuracy:.2%}, of the float module {self.accuracy_float:.2%}"


def judge(module: nn.Module, found: Quantized, batches: Iterable[Any]) -> Judgement | None:
    """Compares the classes of both; None where a sample gives no row of scores.

    Args:
        module: float, what the integers are to stand for.
        batches: samples, with labels (inputs, int64 [n]) or without.
    """
    last = found.network.layers[-1].name
    channels, *positions = found.network.maps[last]
    ours, theirs, labels, names = [], [], [], required(module)
    for batch in batches:
        inputs = arguments(batch, names)
        with evaluating(module):
            scores = module(*inputs)
        if not isinstance(scores, Tensor) or scores.shape[1:] != (channels,) or positions != [1, 1]:
            return None
        theirs.append(scores.argmax(1))
        integers = torch.from_numpy(found.integers(*inputs)).long()
        ours.append(reference.run(found.network, integers)[last].flatten(1).argmax(1))
        labels.append(_labels(batch, names, len(inputs[0])))
    if not ours:
        return None
    said, meant = torch.cat(ours), torch.cat(theirs)
    known = [one for one in labels if one is not None]
    right = torch.cat(known) if len(known) == len(labels) else None
    return Judgement(
        len(said),
        _share(said, meant),
        *(() if right is None else (_share(said, right), _share(meant, right))),
    )


def _share(one: Tensor, other: Tensor) -> float:
    return float((one == other).double().mean())


def _labels(batch: Any, names: Sequence[str], count: int) -> Tensor | None:
    """Classes [n] behind the inputs of a batch, if there are any.

    Args:
        names: of the module's arguments.
    """
    inputs = max(1, len(names))
    if isinstance(batch, Mapping):
        named = bool(names) and all(name in batch for name in names)
        inputs = 0 if named else inputs
        batch = [value for name, value in batch.items() if not (named and name in names)]
    if not isinstance(batch, list | tuple):
        return None
    place = 1 if batch and isinstance(batch[0], list | tuple | Mapping) else inputs
    if len(batch) <= place:
        return None
    target = batch[place]
    whole = isinstance(target, Tensor) and target.shape == (count,) and not target.is_floating_point()
    return target.long() if whole else None
