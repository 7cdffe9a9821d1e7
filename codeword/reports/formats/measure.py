"""Every format on ResNet-20 and on the small Llama: what it is worth, and what it costs on the machines."""

from __future__ import annotations

import platform

import torch

from codeword.reports.formats import costs, llama, resnet
from codeword.reports.formats.entries import LLAMA, RESNET
from codeword.reports.registry import Task
from sim.files import write_json


def run(task: Task) -> None:
    """Whatever the work folder does not hold yet; costs are counted anew."""
    torch.set_num_threads(1)
    task.work.mkdir(parents=True, exist_ok=True)
    pictures, text = resnet.Arena.of(task.work, task.data), llama.Arena(task.work)
    compared = [
        row | costs.of_network(pictures.network_file(entry), entry)
        for entry, row in zip(RESNET, pictures.rows(), strict=True)
    ]
    written = [row | costs.of_llama(entry) for entry, row in zip(LLAMA, text.rows(), strict=True)]
    whole = written[0]["bits_per_byte"]
    rows = {"resnet20": compared, "llama": [row | {"lost": row["bits_per_byte"] - whole} for row in written]}
    write_json(
        task.out,
        {
            "versions": {"torch": torch.__version__, "python": platform.python_version()},
            "images": resnet.IMAGES,
            "calibration": {"resnet20": resnet.CALIBRATION, "llama": llama.CALIBRATION},
            "rows": rows,
        },
    )
