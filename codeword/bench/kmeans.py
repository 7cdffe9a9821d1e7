"""Time and memory of k-means on every compressed layer of ResNet-50: ours against others at equal iterations.

Each variant runs once in a process of its own: `python -m codeword.bench.kmeans VARIANT` prints JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING

from sim.formats.policy import exclusions
from sim.shapes import ConvShape
from sim.workloads import workload

if TYPE_CHECKING:
    from torch import Tensor

K, D, KEEP = 512, 16, 4
ITERATIONS = 2
"""Updates after the first assignment; scikit-learn: passes over the data, in batches."""
WHAT = f"k-means of ResNet-50, k = {K}, d = {D}, {ITERATIONS} updates"


def layers() -> Iterator[tuple[Tensor, Tensor]]:
    """Random sub-vectors float [n, 16], 4:16 pruned, and their masks, bool, of each layer in turn."""
    import torch

    from algos.weights.pruning import magnitude_mask

    shapes = workload("resnet50").shapes
    excluded = exclusions(shapes, D)
    generator = torch.Generator().manual_seed(0)
    for shape in shapes:
        if isinstance(shape, ConvShape) and not excluded[shape.name]:
            vectors = torch.randn(shape.weights // D, D, generator=generator)
            masks = magnitude_mask(vectors, KEEP, D)
            yield vectors * masks, masks


def masked(vectors: Tensor, masks: Tensor) -> None:
    """Ours, masked."""
    from algos.weights.kmeans import masked_kmeans

    masked_kmeans(vectors, masks, min(K, len(vectors) // 2), iterations=ITERATIONS, tolerance=0)


def plain(vectors: Tensor, masks: Tensor) -> None:
    """Ours without masks."""
    from algos.weights.kmeans import masked_kmeans

    masked_kmeans(vectors, None, min(K, len(vectors) // 2), iterations=ITERATIONS, tolerance=0)


def cdist(vectors: Tensor, masks: Tensor) -> None:
    """Plain k-means as one writes it: all n x k distances by torch.cdist."""
    import torch

    k = min(K, len(vectors) // 2)
    codebook = vectors[torch.randperm(len(vectors), generator=torch.Generator().manual_seed(0))[:k]]
    assignments = torch.cdist(vectors, codebook).argmin(1)
    for _ in range(ITERATIONS):
        total = torch.zeros_like(codebook).index_add_(0, assignments, vectors)
        count = torch.bincount(assignments, minlength=k)[:, None]
        codebook = torch.where(count > 0, total / count.clamp(min=1), codebook)
        assignments = torch.cdist(vectors, codebook).argmin(1)


def minibatch(vectors: Tensor, masks: Tensor) -> None:
    """scikit-learn's MiniBatchKMeans, plain."""
    from sklearn.cluster import MiniBatchKMeans

    MiniBatchKMeans(
        min(K, len(vectors) // 2),
        init="random",
        n_init=1,
        max_iter=ITERATIONS,
        tol=0,
        max_no_improvement=None,
        random_state=0,
    ).fit(vectors.numpy())


VARIANTS: dict[str, tuple[str, Callable[[Tensor, Tensor], None]]] = {
    "masked": ("ours, masked 4:16", masked),
    "plain": ("ours, plain", plain),
    "cdist": ("torch.cdist, plain", cdist),
    "minibatch": ("scikit-learn MiniBatchKMeans, plain", minibatch),
}


def measure(variant: str) -> dict[str, float]:
    """Processor seconds of all layers, and by how much resident memory grows beyond that before the first."""
    from resource import RUSAGE_SELF, getrusage

    import torch

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    run = VARIANTS[variant][1]
    seconds, count = 0.0, 0
    run(*next(layers()))
    before = getrusage(RUSAGE_SELF).ru_maxrss
    for vectors, masks in layers():
        start = time.process_time()
        run(vectors, masks)
        seconds += time.process_time() - start
        count += len(vectors)
    unit = 2**20 if sys.platform == "darwin" else 2**10  # bytes there, KiB elsewhere
    return {
        "seconds": seconds,
        "sub_vectors": count,
        "peak_mb": (getrusage(RUSAGE_SELF).ru_maxrss - before) / unit,
    }


def measured(threads: int) -> dict[str, dict[str, float]]:
    """What can run here, by variant: without scikit-learn (extra `bench`) its variant is left out."""
    present = [name for name in VARIANTS if name != "minibatch" or find_spec("sklearn")]
    return {
        name: json.loads(
            subprocess.run(
                [sys.executable, "-m", "codeword.bench.kmeans", name],
                check=True,
                capture_output=True,
                text=True,
                env=os.environ | {"OMP_NUM_THREADS": str(threads)},
            ).stdout
        )
        for name in present
    }


def rows(found: dict[str, dict[str, float]]) -> list[tuple[str, ...]]:
    """Of a table: variant, processor seconds, ratio to ours masked, peak memory, ratio."""
    ours = found["masked"]
    return [
        (
            VARIANTS[name][0],
            f"{f['seconds']:.3g}",
            f"{f['seconds'] / ours['seconds']:.2f}",
            f"{f['peak_mb']:.0f}",
            f"{f['peak_mb'] / ours['peak_mb']:.1f}",
        )
        for name, f in found.items()
    ]


def main() -> None:
    """Runs one variant and prints JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("variant", choices=VARIANTS)
    print(json.dumps(measure(parser.parse_args().variant)))


if __name__ == "__main__":
    main()
