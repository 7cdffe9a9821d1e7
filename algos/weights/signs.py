"""Learned signs: the straight-through sign, and iterative freezing of those that oscillate (SSVQ sec. 3)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from algos.weights.codebook import Codebook, CodedWeight
from sim.errors import InputError
from sim.network import CodebookWeight


class _Sign(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return torch.where(x < 0, -1.0, 1.0)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient


def sign(x: Tensor) -> Tensor:
    """-1 or +1, +1 at 0, with the gradient of the identity."""
    return _Sign.apply(x)


@dataclass(frozen=True)
class Freezing:
    """When a sign freezes, and to what. Thresholds and momentum are not published: those of oscillation
    freezing of 3- to 4-bit weights (Nagel et al. 2022) are assumed.

    Attributes:
        vote: the value frozen to: the majority of all iterations so far, or the sign of their exponential
            moving average.
        interval: iterations between two examinations, F_i.
        momentum: of the moving averages, m; 0 makes it 1 / (2 interval), 0.001 at 500.
        start, end: threshold of the oscillation frequency, which falls as a cosine between them. One oscillation
            makes it m: an `end` of m would allow none. 0 makes it 2.5 m.
        warm_up: share of the training in which nothing freezes.
    """

    vote: Literal["majority", "average"] = "majority"
    interval: int = 500
    momentum: float = 0.0
    start: float = 0.1
    end: float = 0.0
    warm_up: float = 0.25

    def __post_init__(self) -> None:
        if self.vote not in ("majority", "average"):
            raise InputError("vote", self.vote, "is no vote on a sign", "use majority or average")
        if self.interval < 1:
            raise InputError("interval", self.interval, "is no number of iterations", "use 500")
        if not self.momentum:
            object.__setattr__(self, "momentum", 1 / (2 * self.interval))
        if not self.end:
            object.__setattr__(self, "end", 2.5 * self.momentum)
        if not 0 < self.momentum < 1:
            raise InputError("momentum", self.momentum, "is outside 0..1", "use 0.01")

    def threshold(self, progress: float) -> float:
        """At a share of the training in 0..1; infinite during the warm-up."""
        if progress < self.warm_up:
            return math.inf
        passed = (progress - self.warm_up) / (1 - self.warm_up)
        return self.end + (self.start - self.end) * (1 + math.cos(math.pi * passed)) / 2


class Freezer(nn.Module):
    """Watches the signs of one weight during training. All its state is in buffers, hence in checkpoints.

    Args:
        signs: at the start, -1 or +1, [n, d].

    Attributes:
        frozen: bool [n, d].
        frequency: moving average of the oscillations of each sign.
        tally: the vote so far; its sign is the value to freeze to.
        previous: whether each sign was + in the last one.
        flipped: whether it had ever changed.
    """

    frozen: Tensor
    frequency: Tensor
    tally: Tensor
    previous: Tensor
    flipped: Tensor

    def __init__(self, rule: Freezing, signs: Tensor) -> None:
        super().__init__()
        self.rule = rule
        self.register_buffer("previous", signs > 0)
        self.register_buffer("flipped", torch.zeros_like(signs, dtype=torch.bool))
        self.register_buffer("frozen", torch.zeros_like(signs, dtype=torch.bool))
        self.register_buffer("frequency", torch.zeros_like(signs))
        self.register_buffer("tally", signs.clone())

    def forward(self, signs: Tensor) -> Tensor:
        """The same signs, the frozen ones replaced by what was voted."""
        return torch.where(self.frozen, torch.where(self.tally < 0, -1.0, 1.0), signs)

    @torch.no_grad()
    def observe(self, signs: Tensor, done: int, total: int) -> None:
        """Takes note of an iteration, and freezes every F_i of them.

        A flip of a sign oscillates if it had flipped before: every flip reverses the one before it. A frozen
        sign goes on voting for itself, so the vote on it never turns.

        Args:
            signs: after this iteration, frozen ones included.
            done: iterations so far, this one included.
            total: iterations of the whole training.
        """
        positive = signs > 0
        flips = positive != self.previous
        self.frequency.lerp_((flips & self.flipped).to(signs.dtype), self.rule.momentum)
        self.flipped |= flips
        self.previous = positive
        if self.rule.vote == "majority":
            self.tally += signs
        else:
            self.tally.lerp_(signs, self.rule.momentum)
        if done % self.rule.interval == 0:
            self.frozen |= self.frequency > self.rule.threshold(done / total)


class SignedWeight(CodedWeight):
    """W_q = codebook[assignments] o sign(latent); magnitudes, their scale and the latents are learned (SSVQ).

    Autograd gives dL/dL_s = dL/dW_q o c and dL/dc = the sum over the members of dL/dW_q o sign(L_s).

    Args:
        codebook: of magnitudes, low = 0.
        latent: float [n, d].
        freezing: None lets every sign move to the end.
    """

    def __init__(
        self,
        codebook: Codebook,
        assignments: Tensor,
        latent: Tensor,
        shape: torch.Size,
        freezing: Freezing | None = None,
        added: int = 0,
    ) -> None:
        super().__init__(codebook, assignments, shape, added)
        self.latent = nn.Parameter(latent.clone())
        self.freezer = None if freezing is None else Freezer(freezing, sign(latent))

    def groups(self) -> dict[str, list[nn.Parameter]]:
        return super().groups() | {"signs": [self.latent]}

    def signs(self) -> Tensor:
        """-1 or +1, [n, d]."""
        free = sign(self.latent)
        return free if self.freezer is None else self.freezer(free)

    def vectors(self) -> Tensor:
        return self.codebook().index_select(0, self.assignments) * self.signs()

    @torch.no_grad()
    def after_step(self, done: int, total: int | None) -> None:
        """Keeps magnitudes at or above 0 and watches the signs.

        Raises:
            InputError: signs freeze on a schedule, and nobody knows how long the training is.
        """
        self.codebook.codewords.clamp_(min=0)
        if self.freezer is not None:
            if total is None:
                problem = "the freezing of signs needs to know how many the training makes"
                raise InputError("updates", total, problem, "give prepare(updates=...)")
            self.freezer.observe(self.signs(), done, total)

    @torch.no_grad()
    def stored(self) -> CodebookWeight:
        negative = (self.signs() < 0).cpu().numpy().astype(np.uint16)
        words = (negative << np.arange(negative.shape[1], dtype=np.uint16)).sum(1, dtype=np.uint16)
        return CodebookWeight(
            self.codebook.integers(), self.stored_assignments(), signs=words.reshape(self.places)
        )
