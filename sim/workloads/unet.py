"""The U-Net of latent diffusion, for images and, with layers over time, for videos."""

from __future__ import annotations

from dataclasses import dataclass, replace

from sim.shapes import PassShape
from sim.workloads.builder import NONE, Builder, Tensor
from sim.workloads.transformer import Attention, gated_feed_forward
from sim.workloads.workload import Workload

STEPS = 50
EDIT_EVALUATIONS = STEPS + STEPS * 2
"""Of an edit by FreeMask (arXiv 2409.20500): inversion, then steps with and without the prompt."""

_WIDTHS = (320, 640, 1280, 1280)


def stable_diffusion() -> Workload:
    """U-Net of Stable Diffusion v1-4 (Rombach et al., CVPR 2022): one evaluation for 512x512 pixels.

    Latents 4x64x64, 77 text tokens of 768, 8 heads at every width.
    """
    return _unet(Builder("sd-v1-4"), 1, text=768)


def stable_diffusion_2() -> Workload:
    """U-Net of Stable Diffusion v2-1: one evaluation for 768x768 pixels.

    Latents 4x96x96, 77 text tokens of 1024, 64 channels a head.
    """
    return _unet(Builder("sd-v2-1"), 1, text=1024, head_size=64, latent=96)


def stable_diffusion_xl() -> Workload:
    """U-Net of Stable Diffusion XL 1.0 (Podell et al., ICLR 2024): one evaluation for 1024x1024 pixels.

    Latents 4x128x128, 77 text tokens of 2048, 64 channels a head, up to ten blocks a transformer. Pooled text and
    sizes, 2816 values, join the embedding of the time step.
    """
    return _unet(
        Builder("sd-xl"),
        1,
        text=2048,
        head_size=64,
        latent=128,
        widths=_WIDTHS[:3],
        depths=(0, 2, 10),
        added=2816,
    )


def zeroscope(name: str = "zeroscope", frames: int = 8, passes: int = 1) -> Workload:
    """3-D U-Net of Zeroscope v2 576w (the network of ModelScope text-to-video): 512x512 pixels a frame.

    Latents 4x64x64 a frame, frames one below the other, 77 text tokens of 1024, 64 channels a head.
    """
    return _unet(Builder(name), frames, text=1024, head_size=64, passes=passes)


def zeroscope_inverting(
    name: str, frames: int = 8, passes: int = STEPS, density: float = 1.0, bits: int = 8
) -> Workload:
    """Zeroscope as FreeMask inverts a clip by it: the maps of attention go to DRAM.

    Args:
        density: share of the rows that are kept, where masks are known beforehand.
        bits: of a kept probability.
    """
    net = Keeping(name, frames, density * bits / 8)
    return _unet(net, frames, text=1024, head_size=64, passes=passes)


def zeroscope_fusing(
    name: str, frames: int = 8, passes: int = STEPS, density: float = 1.0, bits: int = 8, fused: bool = False
) -> Workload:
    """Zeroscope as FreeMask edits by it: clips with and without the prompt, stored maps come back and are blended.

    Args:
        density, bits: as they were stored.
        fused: the blend rides on the softmax, which is then no pass over its map again.
    """
    net = Keeping(name, frames, density * bits / 8, clips=2, blended=not fused)
    return _unet(net, frames, text=1024, head_size=64, passes=passes, clips=2)


class Keeping(Builder):
    """Writes down what storing attention costs: after a softmax, its map travels between L2 and DRAM.

    A pass that brings a constant from DRAM stands for the way there too: reads and writes of DRAM take the same
    bytes and energy, and writes, which do not delay reads, no more time.

    Args:
        share: bytes kept of each byte of a map.
        clips: of the batch, of which the last alone is stored.
        blended: whether a pass blends the map with the stored one.
    """

    MOST_QUERIES = 2 * 32**2
    """Maps of more queries are not stored (FreeMask's code)."""

    def __init__(self, name: str, frames: int, share: float, clips: int = 1, blended: bool = False) -> None:
        super().__init__(name)
        self.frames, self.share, self.clips, self.blended = frames, share, clips, blended

    def softmax(self, name: str, x: Tensor) -> Tensor:
        x = super().softmax(name, x)
        together = self.frames if name.endswith(".cross.softmax") and ".space" in name else 1
        if x.pixels // together > self.MOST_QUERIES:  # frames that share their text are one sequence here
            return x
        stored = round(self.share * x.elements / self.clips)
        self.shapes.append(
            PassShape(f"{name}.stored", "constant", stored, 1, stored, chained=False, stored=True)
        )
        if self.blended:
            count = x.elements // self.clips
            self.shapes.append(PassShape(f"{name}.blend", "add", count, 2, count, chained=False))
        return Tensor(x.channels, x.size, len(self.shapes) - 1)


def _unet(
    net: Builder,
    frames: int,
    text: int,
    head_size: int = 0,
    passes: int = 1,
    clips: int = 1,
    latent: int = 64,
    widths: tuple[int, ...] = _WIDTHS,
    depths: tuple[int, ...] = (1, 1, 1, 0),
    added: int = 0,
) -> Workload:
    """Two residual blocks a level on the way down, three on the way up, transformers on some levels.

    Args:
        frames: of a video, from two on, whose network has a layer over time behind every one.
        text: channels of a text token.
        head_size: 0: 8 heads.
        clips: of a batch, each with its own text; they lie one below the other.
        latent: rows and columns of a frame.
        depths: blocks of a level's transformers; the middle has those of the last level, at least one.
        added: values beside the time step that join its embedding, 0 for none.
    """
    time = net.linear("time1", Tensor(widths[0], (1, 1)), 4 * widths[0])
    time = net.linear("time2", time, 4 * widths[0])
    if added:
        other = net.linear("added1", Tensor(added, (1, 1)), 4 * widths[0])
        time = net.add("added", net.linear("added2", other, 4 * widths[0]), time)
    layers = _Layers(net, frames, time, Tensor(text, (clips * 77, 1)), head_size, clips)

    x = net.conv("in", Tensor(4, (clips * frames * latent, latent)), widths[0], 3)
    if frames > 1:
        x = layers.over_time("in.time", x, 8)
    kept, last = [x], len(widths) - 1
    for level, width in enumerate(widths):
        for number in range(2):
            x = layers.residual(f"down{level}.{number}", x, width)
            x = layers.attend(f"down{level}.{number}", x, depths[level])
            kept.append(x)
        if level < last:
            x = net.conv(f"down{level}.halve", x, width, 3, 2)
            kept.append(x)
    x = layers.residual("mid.0", x, x.channels)
    x = layers.residual("mid.1", layers.attend("mid", x, max(depths[-1], 1)), x.channels)
    for level, width in reversed(list(enumerate(widths))):
        for number in range(3):
            x = net.concat(f"up{level}.{number}.concat", x, kept.pop())
            x = layers.residual(f"up{level}.{number}", x, width)
            x = layers.attend(f"up{level}.{number}", x, depths[level])
        if level > 0:
            x = net.upsample(f"up{level}.double", x, (2 * x.size[0], 2 * x.size[1]))
            x = net.conv(f"up{level}.conv", x, width, 3)
    net.conv("out", layers.activated("out", x), 4, 3)
    return net.workload(passes)


@dataclass(frozen=True)
class _Layers:
    net: Builder
    frames: int
    time: Tensor
    text: Tensor
    head_size: int
    clips: int

    def activated(self, name: str, x: Tensor) -> Tensor:
        """Group normalization and SiLU."""
        return self.net.activation(f"{name}.silu", self.net.norm(f"{name}.norm", x))

    def residual(self, name: str, x: Tensor, width: int) -> Tensor:
        """Two 3x3 convolutions, the first shifted by the time step; then in a video four over time."""
        net = self.net
        shortcut = x if x.channels == width else net.conv(f"{name}.shortcut", x, width)
        net.linear(f"{name}.time", self.time, width)
        y = net.conv(f"{name}.conv1", self.activated(f"{name}.1", x), width, 3)
        y = net.conv(f"{name}.conv2", self.activated(f"{name}.2", y), width, 3)
        x = net.add(f"{name}.add", y, shortcut)
        return self._over_frames(f"{name}.frames", x) if self.frames > 1 else x

    def _over_frames(self, name: str, x: Tensor) -> Tensor:
        # A place's frames lie side by side, so that a tile needs few places and all their frames.
        y = x.view(x.channels, (x.pixels // self.frames, self.frames))
        for number in range(1, 5):
            y = self.activated(f"{name}.{number}", y)
            y = self.net.conv(f"{name}.conv{number}", y, x.channels, (1, 3))
        return self.net.add(f"{name}.add", y.view(x.channels, x.size), x)

    def attend(self, name: str, x: Tensor, depth: int) -> Tensor:
        """A transformer within each frame that reads the text, then in a video one over time."""
        if not depth:
            return x
        heads = x.channels // self.head_size if self.head_size else 8
        x = self._transformer(
            f"{name}.space",
            x,
            Attention(heads, x.channels // heads, affine=NONE, sequences=self.clips * self.frames),
            self.text,
            depth,
        )
        return self.over_time(f"{name}.time", x, heads) if self.frames > 1 else x

    def over_time(self, name: str, x: Tensor, heads: int) -> Tensor:
        """Each place attends to itself in all frames."""
        return self._transformer(
            name, x, Attention(heads, self.head_size, affine=NONE, sequences=x.pixels // self.frames)
        )

    def _transformer(
        self, name: str, x: Tensor, attention: Attention, text: Tensor | None = None, depth: int = 1
    ) -> Tensor:
        """Blocks as wide as their heads; the second attention reads the text, which all frames share."""
        width = attention.heads * attention.size
        y = self.net.linear(f"{name}.in", self.net.norm(f"{name}.norm", x).tokens, width)
        for number in range(depth):
            y = self._block(f"{name}.{number}" if depth > 1 else name, y, attention, text)
        y = self.net.linear(f"{name}.out", y, x.channels).view(x.channels, x.size)
        return self.net.add(f"{name}.add", y, x)

    def _block(self, name: str, y: Tensor, attention: Attention, text: Tensor | None) -> Tensor:
        net, second = self.net, replace(attention, sequences=self.clips) if text else attention
        z = attention(net, f"{name}.self", net.norm(f"{name}.norm1", y))
        y = net.add(f"{name}.add1", z, y)
        z = second(net, f"{name}.cross", net.norm(f"{name}.norm2", y), text)
        y = net.add(f"{name}.add2", z, y)
        z = gated_feed_forward(
            net, f"{name}.mlp", net.norm(f"{name}.norm3", y), 4 * attention.heads * attention.size
        )
        return net.add(f"{name}.add3", z, y)
