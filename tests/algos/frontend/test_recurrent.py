"""LSTM, GRU and RNN of PyTorch: steps of linear layers, as shapes and in integers."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from algos.frontend.compare import ALONE
from algos.frontend.export import quantize
from algos.frontend.shapes import import_module
from codeword import api

STEPS, INPUTS, HIDDEN = 5, 6, 7
GATES = {nn.LSTM: 4, nn.GRU: 3, nn.RNN: 1}


class Tagger(nn.Module):
    """A class for every word."""

    def __init__(self, kind: type[nn.RNNBase], **options: bool | int) -> None:
        super().__init__()
        self.memory = kind(INPUTS, HIDDEN, batch_first=True, **options)
        self.head = nn.Linear(HIDDEN * (2 if self.memory.bidirectional else 1), 3)

    def forward(self, x: Tensor) -> Tensor:
        states, _ = self.memory(x)
        found: Tensor = self.head(states)
        return found


@pytest.mark.parametrize("kind", GATES)
def test_products_of_all_steps_but_those_with_the_state_of_zeros(kind: type[nn.RNNBase]) -> None:
    torch.manual_seed(0)
    found = import_module(Tagger(kind), (torch.rand(1, STEPS, INPUTS),))
    rows = GATES[kind] * HIDDEN
    assert sum(shape.macs for shape in found) == (
        STEPS * INPUTS * rows + (STEPS - 1) * HIDDEN * rows + STEPS * HIDDEN * 3
    )


@pytest.mark.parametrize(
    ("kind", "options"), [(nn.LSTM, {"bidirectional": True, "num_layers": 2}), (nn.GRU, {}), (nn.RNN, {})]
)
def test_in_integers(kind: type[nn.RNNBase], options: dict[str, bool | int]) -> None:
    torch.manual_seed(0)
    module = Tagger(kind, **options).eval()
    batches = [torch.randn(4, STEPS, INPUTS) for _ in range(2)]
    found = quantize(module, batches)
    assert found.fidelity[-1].sqnr_db > 30
    assert min(one.alone_db for one in found.fidelity) > ALONE
    image = found.network.input.quantize(batches[0][:1].numpy().reshape(1, *found.network.input.shape))
    assert api.simulate(found.network, "ews-16", image).bit_exact


def test_a_cell_in_a_loop_of_ones_own() -> None:
    class Loop(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell = nn.GRUCell(INPUTS, HIDDEN)

        def forward(self, x: Tensor) -> Tensor:
            state = self.cell(x[:, 0])
            for step in range(1, STEPS):
                state = self.cell(x[:, step], state)
            return state

    torch.manual_seed(0)
    assert quantize(Loop().eval(), [torch.randn(4, STEPS, INPUTS)]).fidelity[-1].sqnr_db > 30


def test_a_sum_of_two_that_both_repeat_and_its_view() -> None:
    """What repeats is no tensor of the float network, and is not compared with the sum behind it."""

    class Outer(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return (x[:, :, :1] + x[:, :, :, :1]).flatten(2)

    found = quantize(Outer().eval(), [torch.randn(8, 3, 8, 8, generator=torch.Generator().manual_seed(0))])
    assert min(one.alone_db for one in found.fidelity) > ALONE
