"""Teacher, student and distilled student on the synthetic set, and the scores that they give.

Resumable: the work folder keeps the set, every training at its last hundred updates, and every row of scores.
"""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from algos.facepad import synthetic
from algos.facepad.distillation import ALPHA, TEMPERATURE, by_clip, logits, train_student, train_teacher
from algos.facepad.networks import Student, Teacher, scores
from algos.facepad.samples import Samples
from algos.facepad.synthetic import KNOWN, SPLITS
from algos.recipe import Recipe
from algos.resuming import save_atomically
from codeword.reports.facepad.scored import BASELINE, DISTILLED, STUDENT, TEACHER
from codeword.reports.registry import Task
from sim.files import write_json

SEEDS = (0, 1, 2)
RECIPE = Recipe(
    epochs=4, rate=1e-3, optimizer="adamw", batch=16, decay=1e-4, precision="float32", schedule="cosine"
)
"""600 updates: three seeds of three networks take a quarter of an hour of one core."""
JUDGED = ("development", "test")

Splits = dict[str, Samples]


def run(task: Task) -> None:
    """Whatever the work folder does not hold yet."""
    torch.set_num_threads(1)
    task.work.mkdir(parents=True, exist_ok=True)
    splits = kept_splits(task.work)
    found: dict[str, Any] = {
        "versions": {"torch": torch.__version__, "python": platform.python_version()},
        "recipe": asdict(RECIPE),
        "distillation": {"alpha": ALPHA, "temperature": TEMPERATURE},
        "known": KNOWN,
        "kinds": {name: splits[name].kinds for name in JUDGED},
        "samples": {name: len(split.labels) for name, split in splits.items()},
        "clips": {name: len(split.kinds) for name, split in splits.items()},
        "rows": [{"model": BASELINE, "seed": None, "scores": judged(frequency, splits)}],
    }
    for row in rows(splits, task.work):
        found["rows"].append(row)
        write_json(task.out, found)
        print(row["model"], row["seed"], f"{row['cpu_seconds']:.0f} s", flush=True)


def frequency(samples: Samples) -> Tensor:
    """The baseline, since copies are blurred: a grey frame's share of energy beyond half of the highest frequency."""
    power = torch.fft.fft2(samples.pixels.float().mean(1)).abs().square()
    near = torch.fft.fftfreq(power.shape[-1]).abs() < 0.25
    return 1 - power[:, near][:, :, near].sum((1, 2)) / power.sum((1, 2))


def rows(splits: Splits, work: Path) -> Iterator[dict[str, Any]]:
    """Of every seed and network."""
    for seed in SEEDS:
        for model in (TEACHER, DISTILLED, STUDENT):
            kept = work / f"{_file(model, seed)}.json"
            if not kept.exists():
                begun = time.process_time()
                network = trained(model, seed, splits["training"], work)
                row = {
                    "model": model,
                    "seed": seed,
                    "scores": judged(lambda samples, of=network: scores(logits(of, samples)), splits),
                    "cpu_seconds": time.process_time() - begun,
                }
                write_json(kept, row)
            yield json.loads(kept.read_text())


def trained(model: str, seed: int, samples: Samples, work: Path) -> Teacher | Student:
    """A network, trained from random weights as far as the work folder does not hold it."""
    recipe = Recipe(**asdict(RECIPE) | {"seed": seed})
    checkpoint = work / f"{_file(model, seed)}.pt"
    if model == TEACHER:
        return train_teacher(samples, recipe, checkpoint)
    soft = logits(trained(TEACHER, seed, samples, work), samples) if model == DISTILLED else None
    return train_student(samples, recipe, soft, checkpoint)


def finished(model: str, seed: int, work: Path) -> Teacher | Student:
    """A network that `trained` has made, in evaluation mode."""
    network: Teacher | Student = Teacher() if model == TEACHER else Student()
    state = torch.load(work / f"{_file(model, seed)}.pt", weights_only=True)
    network.load_state_dict(state["model"])
    return network.eval()


def judged(score: Any, splits: Splits) -> dict[str, list[float]]:
    """Scores of the clips, means of their frames, of both sets that judge."""
    return {
        name: [round(value, 6) for value in by_clip(score(splits[name]), splits[name].clips).tolist()]
        for name in JUDGED
    }


def kept_splits(work: Path) -> Splits:
    """The synthetic set, made once."""
    kept = work / "splits.pt"
    if not kept.exists():
        save_atomically({name: vars(synthetic.split(name)) for name in SPLITS}, kept)
    return {name: Samples(**parts) for name, parts in torch.load(kept, weights_only=True).items()}


def _file(model: str, seed: int) -> str:
    return f"{model.replace(' ', '-')}-{seed}"
