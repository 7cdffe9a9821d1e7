"""Vision Mamba (Zhu et al., ICML 2024)."""

from __future__ import annotations

from sim.workloads.builder import NONE, Builder, Tensor
from sim.workloads.transformer import patches
from sim.workloads.workload import Workload

_STATES, _REACH = 16, 4
"""States a channel; taps of the causal convolution."""


def vim(name: str, width: int) -> Workload:
    """Vim: 24 bidirectional Mamba blocks on 197 tokens of a 3x224x224 image, 1000 classes.

    Args:
        width: channels a token: 192 (T), 384 (S), 768 (B).
    """
    net = Builder(name)
    x = patches(net, Tensor(3, (224, 224)), width)
    for number in range(24):
        block = f"block{number}"
        x = net.add(f"{block}.add", _mixer(net, block, net.norm(f"{block}.norm", x, "rmsnorm")), x)
    net.linear("head", net.norm("norm", x, "rmsnorm").last, 1000)
    return net.workload()


def _mixer(net: Builder, name: str, x: Tensor) -> Tensor:
    """Both directions share the projections into and out of the doubled width, and the gate."""
    inner = 2 * x.channels
    gate = net.linear(f"{name}.gate", x, inner, affine=NONE)
    y = net.linear(f"{name}.in", x, inner, affine=NONE)
    forward, backward = (_direction(net, f"{name}.{way}", y, way) for way in ("forward", "backward"))
    both = net.add(f"{name}.sum", backward, forward)
    return net.linear(f"{name}.out", net.multiply(f"{name}.scale", both, gate), x.channels, affine=NONE)


def _direction(net: Builder, name: str, x: Tensor, way: str) -> Tensor:
    """Convolution over the tokens before (or after) each, then a scan whose coefficients depend on them."""
    inner, rank = x.channels, x.channels // 32
    before, after = (_REACH - 1, 0), (0, 0)
    if way == "backward":
        before, after = after, before
    x = net.conv(f"{name}.conv", x, inner, (_REACH, 1), padding=before, padding_end=after, groups=inner)
    chosen = net.linear(f"{name}.choose", x, rank + 2 * _STATES, affine=NONE)
    steps = net.linear(f"{name}.step", chosen.view(rank, x.size), inner)
    matrices = chosen.view(2 * _STATES, x.size)
    decay, skip = Tensor(inner, (_STATES, 1)), Tensor(inner, (1, 1))
    net.parameters += decay.elements + skip.elements
    return net.scan(f"{name}.scan", x, steps, matrices, decay, skip, states=_STATES)
