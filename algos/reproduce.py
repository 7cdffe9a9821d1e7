"""The whole MVQ experiment on ResNet-20: `python -m algos.reproduce` (resumable).

Float training, 4:16 sparse training (SR-STE), then the four cases of MVQ Table 3, each clustered and
fine-tuned with one schedule; integer accuracy on all 10,000 test images.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import platform
from collections.abc import Callable
from pathlib import Path

import torch

from algos import mvq
from algos.bits import Bits
from algos.data import fashion_mnist
from algos.data.fashion_mnist import Images
from algos.export import export
from algos.integer import predict
from algos.models.resnet import ResNet
from algos.pruning import densify, sparsify
from algos.training import Recipe, accuracy, fit
from sim import artifact

FLOAT = Recipe(epochs=16, rate=0.1)
SPARSE = Recipe(epochs=4, rate=0.02)
CASES = {
    # The cases without a mask get slightly more bits, codebooks included, than those with one.
    "D": mvq.MvqConfig(k=64, d=16, case="D"),
    "A": mvq.MvqConfig(k=176, d=8, case="A"),
    "B": mvq.MvqConfig(k=176, d=8, case="B"),
    "C": mvq.MvqConfig(k=64, d=16, case="C"),
}


def progress(stage: str) -> Callable[[int, float, float], None]:
    """Prints one line an epoch."""
    return lambda epoch, loss, seconds: print(
        f"{stage}: epoch {epoch}, loss {loss:.4f}, {seconds:.0f} s", flush=True)


def reproduce(data: str | None, work: Path, out: Path, cases: str) -> None:
    """Writes the results after every case."""
    training, test = fashion_mnist.load(data)
    torch.manual_seed(0)
    dense = ResNet()
    fit(dense, training, FLOAT, work / "float.pt", progress("float"))
    results: dict = {
        "data": "Fashion-MNIST, 60,000 training and 10,000 test images",
        "model": "ResNet-20", "torch": torch.__version__, "machine": platform.machine(),
        "threads": torch.get_num_threads(),
        "float": {"accuracy": accuracy(dense, test), "epochs": FLOAT.epochs}, "cases": {},
    }
    sparse = copy.deepcopy(dense)
    sparsify(list(sparse.body().values()), 16, 4, 16)
    fit(sparse, training, SPARSE, work / "sparse.pt", progress("sparse"))
    densify(list(sparse.body().values()))
    results["sparse"] = {"accuracy": accuracy(sparse, test), "epochs": SPARSE.epochs}
    for case in cases:
        results["cases"][case] = _case(case, dense if case == "A" else sparse, training, test, work)
        out.parent.mkdir(parents=True, exist_ok=True)
        partial = out.with_suffix(".partial")
        partial.write_text(json.dumps(results, indent=2) + "\n")
        os.replace(partial, out)
        print(json.dumps(results["cases"][case], indent=2), flush=True)


def _case(case: str, start: ResNet, training: Images, test: Images, work: Path) -> dict:
    config = CASES[case]
    model = copy.deepcopy(start)
    reports = mvq.cluster(model, config)
    storage = sum((r.bits for r in reports.values()), Bits())
    before = accuracy(model, test)
    mvq.fine_tune(model, training, mvq.FINE_TUNING, work / f"case_{case}.pt", progress(f"case_{case}"))
    network = export(model, training.first(512), name=f"resnet20-fashion-{case}")
    artifact.save(network, work / f"case_{case}.safetensors")
    return {
        "k": config.k, "d": config.d, "pattern": f"{config.n}:{config.m}" if config.masked else None,
        "bits_per_weight": storage.per_weight, "compression_ratio": storage.ratio,
        "total_sse": sum(r.total_sse for r in reports.values()),
        "masked_sse": sum(r.masked_sse for r in reports.values()),
        "accuracy_before_fine_tuning": before, "accuracy_float_activations": accuracy(model, test),
        "accuracy_integer": float((predict(network, test.pixels) == test.labels).float().mean()),
        "fine_tuning_epochs": mvq.FINE_TUNING.epochs,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", help="folder of the IDX files")
    parser.add_argument("--work", type=Path, default=Path("runs/mvq"), help="checkpoints")
    parser.add_argument("--out", type=Path, default=Path("reports/mvq_resnet20.json"))
    parser.add_argument("--cases", default="DABC", help="which cases of MVQ Table 3, in order")
    parser.add_argument("--threads", type=int, default=1, help="1 repeats to the bit")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    reproduce(options.data, options.work, options.out, options.cases)


if __name__ == "__main__":
    main()
