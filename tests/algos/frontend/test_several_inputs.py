"""Modules of several tensors: their integers behind one another are the network's input, each with its own scale."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import codeword
from algos import reference
from algos.frontend.export import Quantized, quantize
from algos.judging import judge
from sim import artifact
from sim.errors import InputError
from sim.network import run


class Conditioned(nn.Module):
    """A picture of 0 to 1, and a few measured numbers, a hundred times as large, that scale its channels."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.head = nn.Conv2d(3, 8, 3, padding=1), nn.Linear(8, 5)
        self.condition = nn.Linear(6, 8)

    def forward(self, picture: Tensor, numbers: Tensor) -> Tensor:
        gain = torch.sigmoid(self.condition(numbers / 100))
        y = F.relu(self.stem(picture)) * gain[:, :, None, None]
        return self.head(y.mean((2, 3)))


class Weighed(nn.Module):
    """Numbers of words, a weight each and how they are told apart, a class."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.head = nn.Embedding(50, 16), nn.Linear(16, 5)

    def forward(self, numbers: Tensor, weights: Tensor, scale: float = 1.0) -> Tensor:
        return self.head((self.words(numbers) * weights[..., None]).sum(1) * scale)


class Sequential2(nn.Module):
    """Two signals of one size, one of which is convolved."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(4, 4, 3, padding=1)

    def forward(self, one: Tensor, two: Tensor) -> Tensor:
        return self.conv(one) - two


def given(count: int = 12) -> dict[str, Tensor]:
    torch.manual_seed(2)
    return {"picture": torch.rand(count, 3, 8, 8), "numbers": 100 * torch.randn(count, 6)}


def alike(module: nn.Module, found: Quantized, *inputs: Tensor) -> np.ndarray:
    """The real output, after the functional model and the PyTorch reference agree on every tensor."""
    integers = found.integers(*inputs)
    tensors = run(found.network, integers)
    theirs = reference.run(found.network, torch.from_numpy(integers).long())
    for layer, tensor in tensors.items():
        np.testing.assert_array_equal(tensor, theirs[layer].numpy(), err_msg=layer)
    last = found.network.layers[-1].name
    with torch.no_grad():
        wanted = module(*inputs).flatten(1).double().numpy()
    real = found.activations[last].real(tensors[last]).reshape(wanted.shape)
    assert np.square(wanted).sum() > 300 * np.square(real - wanted).sum()
    return real


def test_a_picture_and_numbers(tmp_path: Any) -> None:
    module, batch = Conditioned().eval(), given()
    found = quantize(module, [batch, {name: one.flip(0) for name, one in batch.items()}])
    assert found.network.input.shape == (3 * 64 + 6, 1, 1)
    picture, numbers = found.network.metadata["inputs"]
    assert (picture["name"], picture["shape"]) == ("picture", [3, 8, 8])
    assert (numbers["name"], numbers["shape"]) == ("numbers", [6, 1, 1])
    assert numbers["scale"] > 100 * picture["scale"]
    assert picture["zero_point"] == -128 != numbers["zero_point"]
    real = alike(module, found, *batch.values())
    for same in (tuple(batch.values()), (list(batch.values()), torch.zeros(12)), {"x": 0} | batch):
        again = quantize(module, [same])
        np.testing.assert_allclose(alike(module, again, *batch.values()), real, atol=0.1)
    artifact.save(found.network, tmp_path / "net.safetensors")
    stored = artifact.load(tmp_path / "net.safetensors")
    assert stored.metadata["inputs"] == found.network.metadata["inputs"]
    simulated = codeword.simulate(stored, "ews-16", found.integers(*(one[:1] for one in batch.values())))
    assert simulated.bit_exact


def test_words_and_their_weights() -> None:
    torch.manual_seed(1)
    module, numbers = Weighed().eval(), torch.randint(0, 50, (9, 7))
    weights = (torch.rand(9, 7) > 0.4).float()
    found = quantize(module, [(numbers, weights, torch.zeros(9))])
    told = found.network.metadata["inputs"][0]
    assert told["host_lookup"] == {"rows": 50, "width": 16, "rows_a_sample": 7}
    alike(module, found, numbers, weights)


def test_signals_and_equalization() -> None:
    torch.manual_seed(1)
    module, pair = Sequential2().eval(), (torch.randn(9, 4, 11), torch.rand(9, 4, 11) * 5)
    found = quantize(module, [pair], equalize=True, bias_correction=True)
    alike(module, found, *pair)


def test_judged_by_its_labels() -> None:
    module, batch = Conditioned().eval(), given(20)
    found = quantize(module, [batch])
    labels = module(*batch.values()).argmax(1)
    told = judge(module, found, [(*batch.values(), labels)])
    assert told is not None
    assert told.accuracy_float == 1.0
    assert told.agreement == told.accuracy > 0.8
    others = (labels + 1) % 3
    told = judge(
        module, found, [{"picture": batch["picture"], "labels": others, "numbers": batch["numbers"]}]
    )
    assert told is not None
    assert told.accuracy_float == 0.0
    told = judge(module, found, [tuple(batch.values())])
    assert told is not None
    assert told.accuracy is None


@pytest.mark.parametrize(
    ("module", "batch", "message"),
    [
        (Conditioned(), [torch.rand(4, 3, 8, 8)], "the module takes 2: picture, numbers"),
        (Conditioned(), [(torch.rand(4, 3, 8, 8), torch.rand(3, 6))], "differ in their samples"),
        (Conditioned(), [(torch.rand(0, 3, 8, 8), torch.rand(0, 6))], "no images"),
        (
            Weighed(),
            [(torch.zeros(4, 7, dtype=torch.long), torch.ones(4, 7, dtype=torch.bool))],
            "input weights = 'torch.bool': numbers of things and masks",
        ),
    ],
)
def test_refusals(module: nn.Module, batch: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        quantize(module.eval(), batch)


def test_a_given_scale_is_of_one_input() -> None:
    with pytest.raises(InputError, match="inputs of the module"):
        codeword.quantize(Conditioned().eval(), [given()], input=(1 / 255, -128))
