"""An operator that nobody has lowered yet: a class and its line, then shapes and integers."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from algos.frontend.emit import Product
from algos.frontend.export import quantize
from algos.frontend.graph import Node
from algos.frontend.lower import Lowering
from algos.frontend.operator import Call, Operator
from algos.frontend.operators import OPERATORS
from algos.frontend.shapes import import_module
from sim.errors import InputError
from sim.importers.steps import Step, work
from sim.shapes import PassShape


class RunningSum(Operator):
    """Of the last axis: a product with a triangle of ones."""

    names = ("cumsum",)

    def steps(self, call: Call) -> list[Step]:
        return [work(call.name, "other", [call.source], call.out)]

    def lower(self, node: Node, to: Lowering) -> None:
        kernel = torch.ones(node.out.extent[-1], node.out.extent[-1]).tril()
        Product(node, None, kernel[:, :, None, None]).lower(to, node["self"])


class Cumulative(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(self.layer(x.cumsum(-1)))


def test_it_has_shapes_and_integers(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    module, x = Cumulative().eval(), torch.randn(16, 5, 6)
    with pytest.raises(InputError, match=r"cumsum \(aten.cumsum\): has no layer of integers"):
        quantize(module, [x])
    monkeypatch.setitem(OPERATORS, "aten.cumsum", RunningSum())
    first, *_ = import_module(module, (x[:1],))
    assert isinstance(first, PassShape)
    assert (first.name, first.kind, first.operations) == ("cumsum", "other", 30)
    found = quantize(module, [x])
    assert [layer.name for layer in found.network.layers] == ["cumsum", "layer"]
    assert found.fidelity[-1].sqnr_db > 33
