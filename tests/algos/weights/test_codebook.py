"""INT8 codebooks: LSQ (MVQ eq. 5) and the masked-mean gradient (MVQ eq. 6)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from algos.weights.codebook import Codebook, MaskedWeight, attach, attached, initial_scale, quantize, tie
from algos.weights.grouping import group


def test_quantize_rounds_and_clamps() -> None:
    v = torch.tensor([[0.24, 0.26, -0.74, 500.0, -500.0]])
    assert quantize(v, torch.tensor(0.5)).tolist() == [[0.0, 0.5, -0.5, 63.5, -64.0]]


def test_lsq_gradients() -> None:
    """d/dv: 1 inside the range, 0 outside. d/ds: round(v/s) - v/s inside, the bound outside."""
    v = torch.tensor([0.3, -0.7, 100.0, -100.0], requires_grad=True)
    s = torch.tensor(0.5, requires_grad=True)
    upstream = torch.tensor([2.0, 3.0, 5.0, 7.0])
    (quantize(v, s) * upstream).sum().backward()
    assert v.grad is not None
    assert v.grad.tolist() == [2.0, 3.0, 0.0, 0.0]
    expected = 2 * (1 - 0.6) + 3 * (-1 + 1.4) + 5 * 127 + 7 * -128
    torch.testing.assert_close(s.grad, torch.tensor(expected))


def test_initial_scale_clips_an_outlier_when_that_pays() -> None:
    # 100,000 small values share the grid with one outlier; a finer step costs the outlier.
    v = torch.rand(100_000, generator=torch.Generator().manual_seed(0)) - 0.5
    v[0] = 1.0
    scale = initial_scale(v)
    assert scale < 1 / 127
    clipped = ((quantize(v, scale) - v) ** 2).sum()
    assert clipped < ((quantize(v, torch.tensor(1 / 127)) - v) ** 2).sum()


def test_the_largest_element_learns() -> None:
    """It starts at 127 steps of a scale that is the exponential of a logarithm: often a rounding error above."""
    above = 0
    for seed in range(40):
        largest = 1 + torch.rand(1, generator=torch.Generator().manual_seed(seed))
        book = Codebook(torch.cat([largest, torch.full((7,), 0.0)])[None])
        above += bool(book.codewords[0, 0] / book.scale > 127)
        book()[0, 0].backward()
        assert book.codewords.grad is not None
        assert float(book.codewords.grad[0, 0]) == 1
    assert above > 5


def test_codebook_of_zeros_has_a_scale() -> None:
    assert Codebook(torch.zeros(2, 4))().tolist() == [[0.0] * 4] * 2


def test_magnitudes_take_seven_bits() -> None:
    values = torch.tensor([[0.0, 0.5, 3.0], [2.9, 1.1, -0.2]])
    book = Codebook(values, low=0)
    integers = book.integers()
    assert integers.dtype == np.int8
    assert (integers.min(), integers.max()) == (0, 127)
    np.testing.assert_allclose(integers * float(book.scale.detach()), book().detach(), atol=1e-6)
    assert book.integers().tolist()[1][2] == 0


def fine_codebook(values: Tensor) -> Codebook:
    """With steps so small that rounding does not show."""
    book = Codebook(values)
    book.log_scale.data.fill_(torch.tensor(1e-5).log())
    return book


def test_gradient_is_the_masked_mean_of_the_members() -> None:
    generator = torch.Generator().manual_seed(0)
    codebook = torch.randn(5, 4, generator=generator).clamp(-1, 1) / 1000
    assignments = torch.randint(0, 4, (30,), generator=generator)  # codeword 4 has no member
    masks = (torch.rand(30, 4, generator=generator) < 0.3).float()
    upstream = torch.randn(30, 4, generator=generator)
    book = fine_codebook(codebook)
    weight = MaskedWeight(book, assignments, masks, torch.Size((4, 30)), (0, 0))
    torch.testing.assert_close(weight.vectors(), codebook[assignments] * masks, atol=1e-5, rtol=0)
    (weight.vectors() * upstream).sum().backward()
    expected = torch.zeros(5, 4)
    for i in range(5):
        for j in range(4):
            members = [p for p in range(30) if assignments[p] == i and masks[p, j]]
            if members:
                expected[i, j] = sum(float(upstream[p, j]) for p in members) / len(members)
    assert (expected == 0).any()
    torch.testing.assert_close(book.codewords.grad, expected)


def test_gradient_of_a_codebook_of_two_layers_is_the_mean_over_the_members_of_both() -> None:
    book = fine_codebook(torch.zeros(1, 2))
    one = MaskedWeight(
        book, torch.tensor([0, 0, 0]), torch.tensor([[1, 0], [1, 1], [1, 1]]), torch.Size((2, 3)), (0, 0)
    )
    two = MaskedWeight(book, torch.tensor([0]), torch.tensor([[1, 1]]), torch.Size((2, 1)), (0, 0))
    tie([one, two])
    upstream = torch.tensor([[1.0, 8], [2, 10], [3, 20]])
    ((one.vectors() * upstream).sum() + (two.vectors() * torch.tensor([[6.0, 30]])).sum()).backward()
    assert book.codewords.grad is not None
    assert book.codewords.grad.tolist() == [[(1 + 2 + 3 + 6) / 4, (10 + 20 + 30) / 3]]


def test_layer_takes_its_weight_from_the_codebook() -> None:
    layer = nn.Conv2d(2, 8, 1, bias=False)
    codebook = torch.tensor([[1.0, 2, 3, 4], [-5, -6, -7, -127]])
    masks = torch.tensor([[1, 0, 1, 0], [1, 1, 1, 1], [0, 0, 0, 1], [0, 1, 1, 0]])
    book = Codebook(codebook)
    book.log_scale.data.zero_()
    part = MaskedWeight(book, torch.tensor([0, 1, 1, 0]), masks, layer.weight.shape, (2, 4))
    attach(layer, part)
    assert attached(layer) is part
    assert group(layer.weight.detach(), 4).tolist() == [
        [1, 0, 3, 0],
        [-5, -6, -7, -127],
        [0, 0, 0, -127],
        [0, 2, 3, 0],
    ]
    assert {name for name, p in layer.named_parameters() if p.requires_grad} == {
        "parametrizations.weight.0.codebook.codewords",
        "parametrizations.weight.0.codebook.log_scale",
    }


def test_dense_layer_has_no_codebook() -> None:
    assert attached(nn.Conv2d(2, 8, 1)) is None
