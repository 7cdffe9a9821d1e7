"""INT8 codebooks: LSQ (MVQ eq. 5) and the masked-mean gradient (MVQ eq. 6)."""

from __future__ import annotations

import torch
from torch import nn

from algos.codebook import (
    CodebookWeightParametrization,
    _MaskedMean,
    attach,
    attached,
    initial_scale,
    quantize,
)
from algos.grouping import group


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


def test_gradient_is_the_masked_mean_of_the_members() -> None:
    generator = torch.Generator().manual_seed(0)
    codebook = torch.randn(5, 4, generator=generator, requires_grad=True)
    assignments = torch.randint(0, 4, (30,), generator=generator)  # codeword 4 has no member
    masks = (torch.rand(30, 4, generator=generator) < 0.3).float()
    upstream = torch.randn(30, 4, generator=generator)
    out = _MaskedMean.apply(codebook, assignments, masks)
    assert torch.equal(out, codebook.detach()[assignments] * masks)
    (out * upstream).sum().backward()
    expected = torch.zeros(5, 4)
    for i in range(5):
        for j in range(4):
            members = [p for p in range(30) if assignments[p] == i and masks[p, j]]
            if members:
                expected[i, j] = sum(float(upstream[p, j]) for p in members) / len(members)
    assert (expected == 0).any()
    torch.testing.assert_close(codebook.grad, expected)


def test_layer_takes_its_weight_from_the_codebook() -> None:
    layer = nn.Conv2d(2, 8, 1, bias=False)
    codebook = torch.tensor([[1.0, 2, 3, 4], [-5, -6, -7, -127]])
    masks = torch.tensor([[1, 0, 1, 0], [1, 1, 1, 1], [0, 0, 0, 1], [0, 1, 1, 0]])
    part = CodebookWeightParametrization(codebook, torch.tensor([0, 1, 1, 0]), masks,
                                         layer.weight.shape, (2, 4))
    part.log_scale.data.zero_()
    attach(layer, part)
    assert attached(layer) is part
    assert group(layer.weight.detach(), 4).tolist() == [
        [1, 0, 3, 0], [-5, -6, -7, -127], [0, 0, 0, -127], [0, 2, 3, 0]]
    assert {name for name, p in layer.named_parameters() if p.requires_grad} == {
        "parametrizations.weight.0.codebook", "parametrizations.weight.0.log_scale"}


def test_dense_layer_has_no_codebook() -> None:
    assert attached(nn.Conv2d(2, 8, 1)) is None
