"""Frozen INT8 codebooks, one for many networks (VQ4ALL, arXiv 2412.06875), and weights that use them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from algos.weights.candidates import nearest
from algos.weights.codebook import HIGH, LOW, CodedWeight, initial_scale
from algos.weights.grouping import group, ungroup
from algos.weights.soft import SoftAssignment, inverse_distance_logits
from sim.errors import InputError
from sim.network import CodebookWeight

SILENT = 1e-8
"""Least scale of an output channel; that of one whose weights are all 0."""


class FrozenCodebook(nn.Module):
    """k INT8 codewords that no training changes.

    Their real values are the integers over the integers' standard deviation, so that the integers alone,
    the image of the ROM, tell how to build one more network. A model's `state_dict` leaves them out.

    Args:
        integers: int8 [k, d].
        universal: it serves all layers of all networks; else one layer.
    """

    integers: Tensor
    codewords: Tensor

    def __init__(self, integers: Tensor, universal: bool = True) -> None:
        super().__init__()
        self.universal = universal
        self.step = 1 / float(integers.double().std().clamp(min=SILENT))
        self.register_buffer("integers", integers.clone(), persistent=False)
        self.register_buffer("codewords", integers.float() * self.step, persistent=False)

    @property
    def d(self) -> int:
        return self.codewords.shape[1]


def rounded(codewords: Tensor, universal: bool = True) -> FrozenCodebook:
    """The frozen codebook of real codewords [k, d], with the INT8 step of least squared error."""
    steps = (codewords / initial_scale(codewords)).round().clamp(LOW, HIGH)
    return FrozenCodebook(steps.to(torch.int8), universal)


def channel_scales(weight: Tensor) -> Tensor:
    """Root mean square of each output channel, float [K]."""
    return weight.detach().flatten(1).square().mean(1).sqrt().clamp(min=SILENT)


def normalized(weight: Tensor, d: int) -> Tensor:
    """Sub-vectors of the weight over its channel scales, [n, d]: all layers of all networks look alike."""
    scales = channel_scales(weight).reshape(-1, *[1] * (weight.ndim - 1))
    return group(weight.detach() / scales, d)


def sample_codebook(
    networks: Sequence[Iterable[Tensor]], k: int, d: int, *, bandwidth: float = 0.01, seed: int = 0
) -> FrozenCodebook:
    """k codewords from the kernel density estimate of the sub-vectors of several networks (VQ4ALL eqs. 3-4).

    Each network gives equally many random sub-vectors, 10k or all of the smallest network (sec. 4.1). A draw
    from the density of a Gaussian kernel is an observed sub-vector plus Gaussian noise of the bandwidth.

    Args:
        networks: weights [K, ...] of each.
        bandwidth: standard deviation of the noise; sub-vectors have that of 1.

    Raises:
        InputError: fewer sub-vectors than codewords, or d does not divide the output channels of a layer.
    """
    generator = torch.Generator().manual_seed(seed)
    vectors = [torch.cat([normalized(weight, d) for weight in weights]) for weights in networks]
    share = min(10 * k, *map(len, vectors))
    pool = torch.cat([v[torch.randperm(len(v), generator=generator)[:share].to(v.device)] for v in vectors])
    if len(pool) < k:
        raise InputError(
            "k",
            k,
            f"the networks give {len(pool)} sub-vectors in equal shares",
            "choose a smaller k or d, or give more or larger networks",
        )
    observed = pool[torch.randperm(len(pool), generator=generator)[:k].to(pool.device)]
    return rounded(observed + bandwidth * torch.randn(k, d, generator=generator).to(pool.device))


class UniversalWeight(CodedWeight):
    """scale of the output channel * codeword: candidates first, one confirmed codeword in the end.

    Learned are the logits of the assignments and the logarithms of the scales.

    Args:
        weight: float [K, ...] to approximate, with the output channels added.
        n: candidates of each sub-vector.

    Raises:
        InputError: d does not divide K, the weight is not finite, or n exceeds the codewords.
    """

    def __init__(self, codebook: FrozenCodebook, weight: Tensor, n: int, added: int = 0) -> None:
        nn.Module.__init__(self)
        self.codebook, self.shape, self.added = codebook, weight.shape, added
        found = nearest(normalized(weight, codebook.d), codebook.codewords, n)
        self.soft = SoftAssignment(found.indices, inverse_distance_logits(found.distances))
        self.log_scales = nn.Parameter(channel_scales(weight).log())

    @classmethod
    def restored(
        cls, codebook: FrozenCodebook, assignments: Tensor, log_scales: Tensor, shape: torch.Size
    ) -> UniversalWeight:
        """A finished one: assignments int64 [n], log_scales float [K]."""
        made = cls(codebook, torch.ones(shape), 1)
        made.soft.candidates.copy_(assignments[:, None])
        made.soft.confirm_top(1)
        made.log_scales.data.copy_(log_scales)
        return made

    @property
    def assignments(self) -> Tensor:
        """int64 [n]."""
        return self.soft.code

    def groups(self) -> dict[str, list[nn.Parameter]]:
        return {"ratios": [self.soft.logits], "scales": [self.log_scales]}

    def vectors(self) -> Tensor:
        return self.soft(self.codebook.codewords)

    def forward(self, weight: Tensor) -> Tensor:
        scales = self.log_scales.exp().reshape(-1, *[1] * (len(self.shape) - 1))
        return self.used(ungroup(self.vectors(), self.shape) * scales)

    def scales(self) -> np.ndarray:
        return self.log_scales.detach().double().exp().cpu().numpy() * self.codebook.step

    def require_confirmed(self) -> None:
        """Raises InputError where a sub-vector is not confirmed yet."""
        left = len(self.soft.open())
        if left:
            raise InputError("assignments", left, "are not confirmed", "finish the construction first")

    def stored(self) -> CodebookWeight:
        """
        Raises:
            InputError: a sub-vector is not confirmed yet.
        """
        self.require_confirmed()
        return CodebookWeight(
            self.codebook.integers.cpu().numpy(), self.stored_assignments(), universal=self.codebook.universal
        )
