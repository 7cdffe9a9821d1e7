"""`codeword report scaling`: how the time of the engine and of the closed form grows, as a picture and its data.

All on one thread. Small layers take longer a multiply-accumulate: lowering, the launch of the kernel and the
storer are paid once a layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from codeword import inputs
from codeword.bench.suite import MACHINE, random_images, timed
from sim import accelerator
from sim.estimate import estimate
from sim.network import Network
from sim.shapes import ConvShape
from sim.synthetic import one_layer
from sim.systolic import mapping
from sim.systolic.engine import simulate

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CHANNELS = (64, 128, 192, 256, 384, 512, 640)
MAP = 28
IMAGES = (1, 2, 5, 10, 20, 50, 100)
LAYERS = (10, 20, 50, 100, 200, 500, 1000)


@dataclass(frozen=True)
class Series:
    """Median seconds against the size of the task, and the slope of a line through their logarithms."""

    what: str
    unit: str
    sizes: tuple[int, ...]
    seconds: tuple[float, ...]

    @property
    def line(self) -> tuple[float, float]:
        """Slope and offset in log-log."""
        slope, offset = np.polyfit(np.log(self.sizes), np.log(self.seconds), 1)
        return float(slope), float(offset)


def engine(repeats: int = 5) -> Series:
    """One compressed 3x3 layer of growing channels on maps of 28x28, after a warm-up."""
    machine = accelerator.preset(MACHINE)
    networks = [one_layer(channels, MAP, machine) for channels in CHANNELS]

    def run(network: Network) -> None:
        simulate(network, machine, random_images(network), compare=False)

    for network in networks:
        run(network)  # compiles, and maps the layer
    return Series(
        f"cycle engine, one layer on {MACHINE}",
        "MACs",
        tuple(n.macs for n in networks),
        tuple(timed(lambda: run(n), repeats) for n in networks),  # noqa: B023
    )


def images(repeats: int = 5) -> Series:
    """ResNet-20 on batches of growing size."""
    machine, network = accelerator.preset(MACHINE), inputs.shipped("resnet20-fashion")

    def run(count: int) -> None:
        simulate(network, machine, random_images(network, count), compare=False)

    run(IMAGES[0])
    return Series(
        f"cycle engine, resnet20-fashion on {MACHINE}",
        "images",
        IMAGES,
        tuple(timed(lambda: run(n), repeats) for n in IMAGES),  # noqa: B023
    )


def closed_form() -> Series:
    """Chains of distinct convolutions, mapping search included."""
    machine = accelerator.preset(MACHINE)

    def run(layers: int) -> None:
        mapping.forget()
        estimate(chain(layers), machine)

    run(LAYERS[0])
    return Series(
        f"closed form and mapping search, {MACHINE}",
        "distinct layers",
        LAYERS,
        tuple(timed(lambda: run(n), 3 if n < 200 else 1) for n in LAYERS),  # noqa: B023
    )


def chain(layers: int) -> list[ConvShape]:
    """3x3 convolutions like a ResNet's, of which no two are equal: maps of 56 to 7, 64 to 512 channels.

    Four stages; in each, output channels go around in steps of 16.
    """
    shapes: list[ConvShape] = []
    channels = 64
    for number in range(layers):
        stage = 4 * number // layers
        place = number - -(-stage * layers // 4)
        outputs = (64 << stage) + 16 * (1 + place % 16)
        extra = place // 16  # columns more, once the channels have gone around
        shapes.append(
            ConvShape(
                f"conv{number}",
                channels,
                outputs,
                (3, 3),
                (1, 1),
                (1, 1),
                (56 >> stage, (56 >> stage) + extra),
            )
        )
        channels = outputs
    return shapes


def figure(series: Sequence[Series], path: str | Path) -> None:
    """Writes a PNG: one log-log plot a series, with the fitted line."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    drawn = Figure(figsize=(5 * len(series), 4.2), layout="constrained")
    FigureCanvasAgg(drawn)
    for axes, found in zip(drawn.subplots(1, len(series)), series, strict=True):
        _plot(axes, found)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    drawn.savefig(path, dpi=150)


def _plot(axes: Axes, series: Series) -> None:
    slope, offset = series.line
    ends = np.array([min(series.sizes), max(series.sizes)])
    axes.loglog(
        ends, np.exp(offset) * ends**slope, color="#7fb6d6", zorder=1, label=f"fit, slope {slope:.2f}"
    )
    axes.loglog(series.sizes, series.seconds, "o", color="#1b3a57", markersize=5, label="measured")
    axes.set_title(series.what, loc="left", fontsize=10)
    axes.set_xlabel(series.unit)
    axes.set_ylabel("seconds")
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_axisbelow(True)
    axes.grid(color="0.9")
    axes.legend(frameon=False, loc="upper left")
