"""The selective scan of Mamba (Gu, Dao 2023, sec. 3.2; discretization of B simplified as in its code)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class _Recurrence(torch.autograd.Function):
    """h_t = decay_t h_(t-1) + step_t along the first axis, h = 0 before the first.

    One fused multiply-add a token on whole [...] slices: the work of the recurrence and no more, where
    doubling does log2(L) times as much. The gradient of `step` is the same recurrence backwards. No
    division, so that decays of 0 are as good as any.
    """

    @staticmethod
    def forward(ctx: Any, decay: Tensor, step: Tensor) -> Tensor:
        states = torch.empty_like(step)
        states[0] = step[0]
        for t in range(1, len(step)):
            torch.addcmul(step[t], decay[t], states[t - 1], out=states[t])
        ctx.save_for_backward(decay, states)
        return states

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        decay, states = ctx.saved_tensors
        of_step = gradient.clone(memory_format=torch.contiguous_format)
        for t in reversed(range(len(decay) - 1)):
            of_step[t].addcmul_(decay[t + 1], of_step[t + 1])
        of_decay = torch.zeros_like(decay)
        torch.mul(of_step[1:], states[:-1], out=of_decay[1:])
        return of_decay, of_step


def selective_scan(
    x: Tensor, delta: Tensor, a: Tensor, b: Tensor, c: Tensor, skip: Tensor, reverse: bool = False
) -> Tensor:
    """y_t = sum_n C_t[n] h_t[n] + D x_t with h_t = exp(delta_t A) h_(t-1) + delta_t x_t B_t.

    In float32, under autocast too.

    Args:
        x, delta: [batch, L, channels]; delta > 0.
        a: [channels, N], below 0.
        b, c: [batch, L, N].
        skip: D, [channels].
        reverse: from the last token to the first.

    Returns:
        float [batch, L, channels].
    """
    if torch.compiler.is_exporting():
        return _recorded(x, delta, a, b, c, skip, reverse)
    with torch.autocast("cpu", enabled=False):
        x, delta, b, c = (v.float().transpose(0, 1) for v in (x, delta, b, c))
        if reverse:
            x, delta, b, c = (v.flip(0) for v in (x, delta, b, c))
        decay = (delta[..., None] * a).exp()
        states = _Recurrence.apply(decay, (delta * x)[..., None] * b[:, :, None])
        y = (states @ c[..., None])[..., 0] + x * skip
        return (y.flip(0) if reverse else y).transpose(0, 1)


@torch.library.custom_op("codeword::selective_scan", mutates_args=())
def _recorded(
    x: Tensor, delta: Tensor, a: Tensor, b: Tensor, c: Tensor, skip: Tensor, reverse: bool
) -> Tensor:
    """One node of a graph that torch.export records."""
    return selective_scan(x, delta, a, b, c, skip, reverse)


@_recorded.register_fake
def _shape(x: Tensor, delta: Tensor, a: Tensor, b: Tensor, c: Tensor, skip: Tensor, reverse: bool) -> Tensor:
    return torch.empty_like(x)
