"""The whole MVQ experiment on ResNet-20; resumable.

Float training, 4:16 sparse training (SR-STE), then the four cases of MVQ Table 3, each clustered and
fine-tuned with one schedule; integer accuracy on all 10,000 test images.
"""

from __future__ import annotations

import copy
import hashlib
import json
import platform
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from algos import reference
from algos.data import fashion_mnist
from algos.data.fashion_mnist import Images
from algos.frontend.export import export
from algos.methods import mvq
from algos.methods.prepared import LayerReport
from algos.models.resnet import ResNet
from algos.precision import resolved
from algos.training import Recipe, accuracy, computed_in, fit, history
from algos.weights.bits import Bits
from algos.weights.pruning import densify, sparsify
from codeword.reports.registry import Task
from sim import artifact
from sim.files import write_json
from sim.network import Network

FLOAT = Recipe(epochs=16, rate=0.1)
SPARSE = Recipe(epochs=4, rate=0.02)
CASES = {
    # The cases without a mask get slightly more bits, codebooks included, than those with one.
    "D": mvq.MvqConfig(k=64, d=16, case="D"),
    "A": mvq.MvqConfig(k=176, d=8, case="A"),
    "B": mvq.MvqConfig(k=176, d=8, case="B"),
    "C": mvq.MvqConfig(k=64, d=16, case="C"),
}
SHORT_IMAGES = 3000
CALIBRATION = 512  # training images that set the activation scales


@dataclass(frozen=True, eq=False)
class Experiment:
    """The stages; each resumes from its checkpoint in the folder `work`, and is skipped when done."""

    training: Images
    work: Path

    def dense(self) -> ResNet:
        """Float training from scratch."""
        torch.manual_seed(0)
        model = ResNet()
        fit(model, self.training, FLOAT, self.work / "float.pt", progress("float"))
        return model

    def sparse(self, dense: ResNet) -> ResNet:
        """4:16 sparse training (SR-STE) of the float network."""
        model = copy.deepcopy(dense)
        layers = list(model.body().values())
        sparsify(layers, 16, 4, 16)
        fit(model, self.training, SPARSE, self.work / "sparse.pt", progress("sparse"))
        densify(layers)
        return model

    def clustered(self, case: str, start: ResNet) -> tuple[ResNet, Mapping[str, LayerReport]]:
        """One case of Table 3 before fine-tuning."""
        model = copy.deepcopy(start)
        return model, mvq.cluster(model, CASES[case])

    def fine_tuned(self, case: str, clustered: ResNet) -> Network:
        """Fine-tunes the model in place and exports it."""
        mvq.fine_tune(
            clustered, self.training, mvq.FINE_TUNING, self.work / f"case_{case}.pt", progress(f"case_{case}")
        )
        return export(clustered, self.training.first(CALIBRATION), name=f"resnet20-fashion-{case}")


def progress(stage: str) -> Callable[[int, float, float], None]:
    """Prints one line an epoch."""
    return lambda epoch, loss, seconds: print(
        f"{stage}: epoch {epoch}, loss {loss:.4f}, {seconds:.0f} s", flush=True
    )


def reproduce(data: Path | None, work: Path, out: Path, cases: Iterable[str] = tuple(CASES)) -> None:
    """Runs what is not yet done and writes the results after every case."""
    training, test = fashion_mnist.load(data)
    experiment = Experiment(training, work)
    dense = experiment.dense()
    results: dict[str, Any] = {
        "data": "Fashion-MNIST, 60,000 training and 10,000 test images",
        "model": "ResNet-20, width 16, 272,186 parameters; stem and classifier dense INT8",
        "versions": {
            "torch": torch.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
        "machine": platform.machine(),
        "float": _measured(work / "float.pt", FLOAT, lambda: {"accuracy": accuracy(dense, test)}),
    }
    sparse = experiment.sparse(dense)
    results["sparse"] = _measured(
        work / "sparse.pt",
        SPARSE,
        lambda: {"pattern": "4:16", "start": "float", "accuracy": accuracy(sparse, test)},
    )
    results["cases"] = {}
    for case in cases:
        results["cases"][case] = _case(experiment, case, dense, sparse, test)
        write_json(out, results)
        print(json.dumps(results["cases"][case], indent=2), flush=True)


def _case(experiment: Experiment, case: str, dense: ResNet, sparse: ResNet, test: Images) -> dict[str, Any]:
    config, work = CASES[case], experiment.work
    before, reports = experiment.clustered(case, dense if case == "A" else sparse)
    model = copy.deepcopy(before)
    network = experiment.fine_tuned(case, model)
    artifact.save(network, work / f"case_{case}.safetensors")

    def measure() -> dict[str, Any]:
        untuned = export(before, experiment.training.first(CALIBRATION), name="untuned")
        storage = sum((r.bits for r in reports.values()), Bits())
        return {
            "start": "float" if case == "A" else "sparse",
            "k": config.k,
            "d": config.d,
            "pattern": "{}:{}".format(*config.pattern) if config.masked else None,
            "bits_per_weight": storage.per_weight,
            "compression_ratio": storage.ratio,
            "bits": asdict(storage),
            "total_sse": sum(r.total_sse for r in reports.values()),
            "masked_sse": sum(r.masked_sse for r in reports.values()),
            "accuracy_before_fine_tuning": accuracy(before, test),
            "accuracy_integer_before_fine_tuning": reference.accuracy(untuned, test),
            "accuracy_float_activations": accuracy(model, test),
            "accuracy_integer": reference.accuracy(network, test),
            "short_fine_tuning": _short(before, experiment.training, test),
        }

    return _measured(work / f"case_{case}.pt", mvq.FINE_TUNING, measure)


def _short(clustered: ResNet, training: Images, test: Images) -> dict[str, Any]:
    """The same with little data and time: how much of the accuracy depends on fine-tuning."""
    model, few = copy.deepcopy(clustered), training.first(SHORT_IMAGES)
    mvq.fine_tune(model, few, mvq.SHORT_FINE_TUNING)
    network = export(model, training.first(CALIBRATION), name="short")
    return {
        "images": SHORT_IMAGES,
        "recipe": asdict(mvq.SHORT_FINE_TUNING),
        "precision": resolved(mvq.SHORT_FINE_TUNING.precision),
        "accuracy_float_activations": accuracy(model, test),
        "accuracy_integer": reference.accuracy(network, test),
    }


def _measured(checkpoint: Path, recipe: Recipe, measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What was measured of a finished stage, kept beside its checkpoint as long as that stays."""
    digest = hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    kept = checkpoint.with_suffix(".json")
    if kept.exists():
        found: dict[str, Any] = json.loads(kept.read_text())
        if found["checkpoint_sha256"] == digest:
            return found
    result = {
        **measure(),
        "recipe": asdict(recipe),
        "precision": computed_in(checkpoint),
        "epochs": history(checkpoint),
        "checkpoint_sha256": digest,
    }
    write_json(kept, result)
    return result


def run(task: Task) -> None:
    """All four cases."""
    torch.set_num_threads(1)  # repeats to the bit
    reproduce(task.data, task.work, task.out)
