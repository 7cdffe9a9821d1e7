"""The first distilled student in integers, and compressed: what the errors become, and one frame on the engine."""

from __future__ import annotations

import copy
import json
import time
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

import codeword
from algos.facepad.distillation import logits, train_student
from algos.facepad.integers import THRESHOLD, in_integers, integer_scores
from algos.facepad.metrics import Scored, eer
from algos.facepad.networks import Student, normalized
from algos.facepad.samples import GENUINE, Samples
from algos.methods import mvq
from algos.methods.mvq import MvqConfig
from codeword.reports.facepad.scored import DISTILLED, TEACHER
from codeword.reports.facepad.train import RECIPE, SEEDS, finished, judged, kept_splits
from codeword.reports.registry import Task
from sim import artifact
from sim.files import write_json
from sim.network import Network

CODES = {"INT8": None, "MVQ 1:2, k 512, d 8": MvqConfig(512, 8, (1, 2))}
"""Weights; the second is what MVQ section 6.2 takes for light networks."""
TUNING = replace(RECIPE, epochs=2, rate=3e-4)
CALIBRATION = 64
"""Frames of the training set, from all over it."""
ENGINE = "ews-16"


def run(task: Task) -> None:
    """Adds a row for each of CODES to the figures."""
    torch.set_num_threads(1)
    found = task.figures()
    splits = kept_splits(task.work)
    training = splits["training"]
    pixels = training.pixels[:: len(training.labels) // CALIBRATION][:CALIBRATION]
    found["integers"] = []
    for name, config in CODES.items():
        kept = task.work / f"integers-{name.split(',')[0].replace(' ', '-').replace(':', '-')}.json"
        if not kept.exists():
            student = finished(DISTILLED, SEEDS[0], task.work)
            assert isinstance(student, Student)
            if config is not None:
                soft = logits(finished(TEACHER, SEEDS[0], task.work), training)
                student, bits = compressed(student, training, config, soft, pixels)
            else:
                bits = 8.0
            row = {"weights": name, "bits_per_weight": bits, **measured(student, pixels, splits, kept)}
            write_json(kept, row)
        found["integers"].append(json.loads(kept.read_text()))
        write_json(task.out, found)
        print(name, flush=True)
    if not (kept := task.work / "engine.json").exists():
        write_json(kept, engine(task, splits["test"].pixels[:1]))
    found["engine"] = json.loads(kept.read_text())
    write_json(task.out, found)


def compressed(
    student: Student, training: Samples, config: MvqConfig, soft: Tensor, pixels: Tensor
) -> tuple[Student, float]:
    """A copy in codewords, tuned by the teacher; and its bits a weight of the layers in codewords."""
    student = copy.deepcopy(student).to(memory_format=torch.contiguous_format)
    prepared = mvq.METHOD.prepare(student, config, batches=[normalized(pixels[:2])])
    train_student(training, TUNING, soft, student=student, prepared=prepared)
    prepared.finish()
    return student, prepared.plan.bits.per_weight


def measured(student: Student, pixels: Tensor, splits: dict[str, Samples], kept: Any) -> dict[str, Any]:
    """Scores of the float and of the integer network; the integer one is kept beside the row."""
    begun = time.process_time()
    network = in_integers(student, pixels)
    scores = judged(lambda samples: integer_scores(network, samples.pixels), splits)
    artifact.save(with_threshold(network, scores, splits), kept.with_suffix(".safetensors"))
    return {"scores": scores, "cpu_seconds": time.process_time() - begun}


def with_threshold(network: Network, scores: dict[str, list[float]], splits: dict[str, Samples]) -> Network:
    """The network with the threshold of the development set in its metadata."""
    kinds = splits["development"].kinds
    real = np.array([kind == GENUINE for kind in kinds])
    _, threshold = eer(Scored(np.array(scores["development"]), real, kinds))
    return replace(network, metadata={**network.metadata, THRESHOLD: threshold})


def engine(task: Task, pixels: Tensor) -> dict[str, Any]:
    """A frame of the test set through the cycle engine, every tensor compared."""
    network = artifact.load(task.work / "integers-INT8.safetensors")
    image = network.input.quantize(normalized(pixels).double().numpy()).astype(np.int8)
    done = codeword.simulate(network, ENGINE, image)
    return {
        "accelerator": ENGINE,
        "size": list(pixels.shape[-2:]),
        "bit_exact": done.bit_exact,
        "cycles": sum(layer.total_cycles for layer in done.layers),
        "estimated_cycles": codeword.estimate(network, ENGINE).cost.cycles,
    }
