"""Weights that are not trained and behave as trained ones do where INT8 is concerned, by one rule; pictures too.

A deep network of random weights amplifies any noise at its input, that of rounding too (a chaotic map: each batch norm
behind a ReLU takes away what is common to two inputs and enlarges their difference). Trained networks do not.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from algos.frontend.graph import Graph, Node, Value
from algos.frontend.operators import OPERATORS
from algos.frontend.record import record
from codeword.reports.zoo.settings import BATCHES, BRANCH, HEAD, OFFSET, SAMPLES, TOKEN

_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def samples(extent: Sequence[int], seed: int = 0) -> list[Tensor]:
    """Batches of standard normal values; of pictures half of the power lies in an eighth of the frequencies."""
    generator = torch.Generator().manual_seed(seed)
    found = []
    for _ in range(BATCHES):
        x = torch.randn(SAMPLES, *extent, generator=generator)
        if len(extent) == 3:
            coarse = torch.randn(SAMPLES, extent[0], *(-(-n // 8) for n in extent[1:]), generator=generator)
            smooth = F.interpolate(coarse, size=tuple(extent[1:]), mode="bicubic")
            x = (x + smooth / smooth.std()) / 2**0.5
        found.append(x)
    return found


def settle(module: nn.Module, batches: Sequence[Tensor]) -> nn.Module:
    """Gives weights as the package initialises them the batch norms of a trained network.

    Every batch norm has an offset of `OFFSET` and a gain of 1, one that ends a residual branch no offset and a gain
    of `BRANCH`, and the means and variances of the batches. Class tokens become normal of `TOKEN`,
    matrices that are all zero of `HEAD`.
    """
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.ndim == 3 and parameter.shape[:2] == (1, 1):
                nn.init.normal_(parameter, std=TOKEN)
            elif parameter.ndim > 1 and not parameter.any():
                nn.init.normal_(parameter, std=HEAD)
        norms = {name: part for name, part in module.named_modules() if isinstance(part, _NORMS)}
        if not norms:
            return module.eval()
        ends = branches(record(module.eval(), (batches[0][:1],), OPERATORS))
        for name, norm in norms.items():
            nn.init.constant_(norm.weight, BRANCH if name in ends else 1.0)
            nn.init.constant_(norm.bias, 0.0 if name in ends else OFFSET)
            norm.reset_running_stats()
            norm.momentum = None  # the mean of all batches
            norm.train()
        for batch in batches:
            module(batch)
    return module.eval()


def branches(graph: Graph) -> set[str]:
    """Names of the batch norms that end a residual branch: what an addition adds to something before it.

    Where neither operand comes from the other, as with a projection beside the branch, the first one is the branch.
    """
    found = set()
    for node in graph.nodes:
        operands = [value for value in node.inputs if not value.constant]
        if not node.operation.startswith("aten.add") or len(operands) != 2:
            continue
        one, two = operands
        branch = two if one in _before(two) else one
        if (norm := _norm(branch)) is not None:
            found.add(norm)
    return found


def _before(value: Value) -> set[Value]:
    """All values that a value comes from."""
    found: set[Value] = set()
    waiting = [value]
    while waiting:
        node = waiting.pop().producer
        fresh = [source for source in node.inputs if source not in found] if node else []
        found.update(fresh)
        waiting += fresh
    return found


def _norm(value: Value) -> str | None:
    """The batch norm that a value comes from right away."""
    node: Node | None = value.producer
    if node is None or "batch_norm" not in node.operation:
        return None
    origin = next(source.origin for source in node.inputs if source.origin)
    return origin.rpartition(".")[0]
