"""Transformers that generate video, at the sizes of DFVEdit (arXiv 2506.20967)."""

from __future__ import annotations

from sim.workloads.builder import Builder, Tensor
from sim.workloads.transformer import Attention, feed_forward
from sim.workloads.workload import Workload

EDIT_EVALUATIONS = 49 * 2 * 2
"""Of an edit by DFVEdit: steps, source and target, with and without the prompt."""
BRANCHES = 2 * 2
"""Of a step of DFVEdit, that may run as one batch: they share all weights."""


def wan(
    name: str,
    layers: int,
    width: int,
    hidden: int,
    video: tuple[int, int, int] = (25, 512, 512),
    passes: int = 1,
    clips: int = 1,
) -> Workload:
    """Wan2.1 text to video (arXiv 2503.20314): self- and cross-attention with heads of 128 channels.

    Args:
        hidden: channels between the feed-forward layers.
        video: frames, height and width in pixels.
        clips: of a batch, each with its own text; they lie one below the other.
    """
    net = Builder(name)
    time = net.linear("time2", net.linear("time1", Tensor(256, (1, 1)), width), width)
    net.linear("modulation", time, 6 * width)
    text = net.linear("text2", net.linear("text1", Tensor(4096, (clips * 512, 1)), width), width)
    x = _patches(net, video, width, clips)
    own = Attention(width // 128, 128, sequences=clips, norm="rmsnorm", rotary=True)
    cross = Attention(width // 128, 128, sequences=clips, norm="rmsnorm")
    for number in range(layers):
        block = f"block{number}"
        net.parameters += 6 * width  # added to the modulation, whose shifts, scales and gates cost nothing
        y = own(net, f"{block}.self", net.norm(f"{block}.norm1", x, parameters=0))
        x = net.add(f"{block}.add1", y, x)
        y = cross(net, f"{block}.cross", net.norm(f"{block}.norm2", x), text)
        x = net.add(f"{block}.add2", y, x)
        y = feed_forward(net, f"{block}.mlp", net.norm(f"{block}.norm3", x, parameters=0), hidden)
        x = net.add(f"{block}.add3", y, x)
    net.parameters += 2 * width
    net.linear("head", net.norm("norm", x, parameters=0), 4 * 16)
    return net.workload(passes)


def wan_1b(name: str, passes: int = 1, clips: int = 1) -> Workload:
    """Wan2.1-T2V-1.3B."""
    return wan(name, 30, 1536, 8960, passes=passes, clips=clips)


def wan_14b(name: str, passes: int = 1, clips: int = 1) -> Workload:
    """Wan2.1-T2V-14B."""
    return wan(name, 40, 5120, 13824, passes=passes, clips=clips)


def cogvideox(
    name: str = "cogvideox-5b", passes: int = 1, clips: int = 1, video: tuple[int, int, int] = (29, 512, 512)
) -> Workload:
    """CogVideoX-5B (arXiv 2408.06072): 42 blocks in which text and video attend to each other.

    The time step modulates every block through a linear layer of its own.

    Args:
        video, clips: as of `wan`.
    """
    width = 3072
    net = Builder(name)
    time = net.linear("time2", net.linear("time1", Tensor(width, (1, 1)), 512), 512)
    words = net.linear("text", Tensor(4096, (clips * 226, 1)), width)
    patches = _patches(net, video, width, clips)
    x = patches.view(width, (words.pixels + patches.pixels, 1))  # written side by side, in one scale
    attention = Attention(48, 64, sequences=clips, norm="layernorm", rotary=True)
    for number in range(42):
        block = f"block{number}"
        net.linear(f"{block}.modulation1", time, 6 * width)
        y = attention(net, f"{block}.attention", net.norm(f"{block}.norm1", x))
        x = net.add(f"{block}.add1", y, x)
        net.linear(f"{block}.modulation2", time, 6 * width)
        y = feed_forward(net, f"{block}.mlp", net.norm(f"{block}.norm2", x), 4 * width)
        x = net.add(f"{block}.add2", y, x)
    x = net.norm("norm", x).view(width, patches.size)
    net.linear("modulation", time, 2 * width)
    net.linear("head", net.norm("head.norm", x), 4 * 16)
    return net.workload(passes)


def _patches(net: Builder, video: tuple[int, int, int], width: int, clips: int) -> Tensor:
    """Patches of 2x2 latents, of which 16 channels stand for 4x8x8 pixels (the first frame stands alone)."""
    frames, high, wide = video
    latents = Tensor(16, (clips * ((frames - 1) // 4 + 1) * (high // 8), wide // 8))
    return net.conv("patches", latents, width, 2, 2, padding=0).tokens
