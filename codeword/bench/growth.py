"""`python -m codeword.bench.growth`: how the time of the closed form grows with layers, tokens and designs.

Processor seconds with nothing remembered, over three decades each; and the largest networks that we know.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence

from codeword.bench.designs import NETWORK, designs
from codeword.bench.scaling import Series, chain
from codeword.bench.suite import MACHINE, Stopwatch
from sim import accelerator, bulk
from sim.shapes import ConvShape
from sim.systolic import mapping
from sim.workloads import workload

LAYERS = (1, 10, 100, 1000)
TOKENS = (32, 320, 3_200, 32_000)
DESIGNS = (1, 10, 100, 1000)
LARGEST = ("llama2-7b", "llama2-7b-decode", "wan2.1-14b-edit", "mask-rcnn")


def block(tokens: int, width: int = 768, heads: int = 12) -> list[ConvShape]:
    """The products of a block of a transformer."""
    return [
        ConvShape("query", width, width, size=(tokens, 1)),
        ConvShape("scores", width, heads * tokens, size=(tokens, 1), groups=heads, dynamic=True),
        ConvShape("values", heads * tokens, width, size=(tokens, 1), groups=heads, dynamic=True),
        ConvShape("up", width, 4 * width, size=(tokens, 1)),
        ConvShape("down", 4 * width, width, size=(tokens, 1)),
    ]


def series(what: str, unit: str, sizes: Sequence[int], run: Callable[[int], object]) -> Series:
    """Processor seconds of a run of each size."""
    median = Stopwatch(time.process_time, repeats=3)

    def afresh(size: int) -> None:
        mapping.forget()
        run(size)

    return Series(what, unit, tuple(sizes), tuple(median(lambda size=size: afresh(size)) for size in sizes))  # type: ignore[misc]


def measured() -> list[Series]:
    machine, every, network = accelerator.preset(MACHINE), designs(max(DESIGNS)), workload(NETWORK)
    found = [
        series(
            "closed form, distinct layers", "layers", LAYERS, lambda n: bulk.estimates([chain(n)], [machine])
        ),
        series(
            "closed form, a transformer's block",
            "tokens",
            TOKENS,
            lambda n: bulk.estimates([block(n)], [machine]),
        ),
        series(f"closed form, {NETWORK}", "designs", DESIGNS, lambda n: bulk.estimates([network], every[:n])),
    ]
    for name in LARGEST:
        shapes = workload(name)
        found.append(
            series(name, "networks", (1,), lambda _, shapes=shapes: bulk.estimates([shapes], [machine]))  # type: ignore[misc]
        )
    return found


def main() -> None:
    rows = [
        {
            "what": one.what,
            one.unit: one.sizes,
            "processor_s": one.seconds,
            "slope": one.line[0] if len(one.sizes) > 1 else None,
        }
        for one in measured()
    ]
    print(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
