"""ImageNet networks compressed without fine-tuning, on 20 pictures.

Resumable: the work folder keeps every row and its network of integers, which `text` runs on machines.

Twenty pictures are no accuracy. What they do tell is how far the logits move: the signal-to-noise ratio of
20,000 numbers against the float network's, and whether the first class stays.
"""

from __future__ import annotations

import copy
import json
import math
import platform
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from algos import reference
from algos.data import imagenet
from algos.data.fashion_mnist import Images
from algos.frontend.calibrate import Scheme
from algos.frontend.export import quantize
from algos.methods import mvq, ssvq, vq
from algos.methods.method import Data, Method
from algos.methods.mvq import MvqConfig
from algos.methods.ssvq import SsvqConfig
from algos.methods.vq import VqConfig
from algos.models.inverted_residual import SOURCES, InvertedResidualNet, pretrained
from algos.training import silent
from algos.weights.bits import network_bits
from codeword.reports.registry import Task
from sim import artifact
from sim.files import write_json

RATES: dict[str, tuple[Method[Any], tuple[Any, ...]]] = {
    "vq": (vq.METHOD, tuple(VqConfig(k, d, epochs=0) for k, d in ((256, 4), (1024, 4), (256, 2)))),
    "ssvq": (ssvq.METHOD, tuple(SsvqConfig(k, d, epochs=0) for k, d in ((16, 4), (64, 4), (64, 2)))),
    "mvq 1:2": (
        mvq.METHOD,
        tuple(MvqConfig(k, d, (1, 2), epochs=0) for k, d in ((64, 4), (256, 4), (128, 2))),
    ),
}
"""2, 2.5 and 4 bits a weight each, of assignments with signs or masks; codebooks come on top."""
NO_IMAGES = Images(torch.empty(0), torch.empty(0))
NOTHING = Data(NO_IMAGES, NO_IMAGES)
"""What a method sees that does not fine-tune."""


@dataclass(frozen=True, eq=False)
class Bench:
    """A float network and what it says of the pictures.

    Attributes:
        inputs: float [n, 3, H, W].
        labels: int64 [n].
        logits: float [n, 1000].
    """

    name: str
    model: InvertedResidualNet
    inputs: Tensor
    labels: Tensor
    logits: Tensor

    def first(self, count: int) -> Bench:
        """Of fewer pictures."""
        return replace(
            self, inputs=self.inputs[:count], labels=self.labels[:count], logits=self.logits[:count]
        )

    def measure(self, found: Tensor) -> dict[str, Any]:
        """Of other logits [n, 1000], which may have a factor of their own."""
        classes = found.argmax(1)
        return {
            "agree": int((classes == self.logits.argmax(1)).sum()),
            "right": int((classes == self.labels).sum()),
            "sqnr_db": sqnr(self.logits, found),
        }

    def row(self, method: str, config: Any, path: Path) -> dict[str, Any]:
        """The network by one method, with config None as it is, with float activations and in integers, which it keeps.

        Args:
            path: file of the network of integers.
        """
        model = copy.deepcopy(self.model)
        if config is not None:
            RATES[method][0].apply(model, NOTHING, config, None, silent)
        network = quantize(model, [self.inputs], name=self.name, scheme=Scheme(symmetric=True)).network
        artifact.save(network, path)
        pixels = torch.from_numpy(network.input.quantize(self.inputs.numpy())).long()
        whole = torch.cat(
            [reference.run(network, one)[network.layers[-1].name].flatten(1) for one in pixels.split(1)]
        )
        with torch.no_grad():
            real = model(self.inputs)
        storage = network_bits(network)
        return {
            "network": self.name,
            "method": method,
            "file": path.name,
            **(
                {
                    "k": config.k,
                    "d": config.d,
                    "bits_per_weight": storage.per_weight,
                    "compression_ratio": storage.ratio,
                }
                if config
                else {}
            ),
            "float_activations": self.measure(real),
            "integers": self.measure(whole),
        }


def sqnr(reference: Tensor, found: Tensor) -> float:
    """dB of the reference over what differs from it, after the factor that makes this least."""
    reference, found = reference.double(), found.double()
    factor = (reference * found).sum() / found.square().sum().clamp(min=1e-300)
    noise = (reference - factor * found).square().sum()
    return 10 * math.log10(float(reference.square().sum() / noise.clamp(min=1e-300)))


def bench(name: str) -> Bench:
    """One of SOURCES on the pictures.

    Raises:
        InputError: the package index does not answer.
    """
    model = pretrained(name)
    pictures = imagenet.load(model.source.preprocessing)
    inputs = model.normalize(pictures.pixels)
    with torch.no_grad():
        return Bench(name, model, inputs, pictures.labels, model(inputs))


def rows(measured: Bench, work: Path) -> Iterator[dict[str, Any]]:
    """INT8 alone, then every method at every rate; what the work folder holds is not measured again."""
    for method, config in (("INT8", None), *((m, c) for m, (_, configs) in RATES.items() for c in configs)):
        of = f"-{config.k}-{config.d}" if config else ""
        kept = work / f"{measured.name}-{method}{of}.json".replace(" ", "-").replace(":", "-")
        network = kept.with_suffix(".safetensors")
        if not (kept.exists() and network.exists()):
            write_json(kept, measured.row(method, config, network))
        yield json.loads(kept.read_text())


def run(task: Task) -> None:
    """Measures every network."""
    torch.set_num_threads(1)
    task.work.mkdir(parents=True, exist_ok=True)
    found: dict[str, Any] = {
        "versions": {"torch": torch.__version__, "python": platform.python_version()},
        "pictures": 0,
        "float_right": {},
        "rows": [],
    }
    for name in SOURCES:
        measured = bench(name)
        found["pictures"] = len(measured.labels)
        found["float_right"][name] = measured.measure(measured.logits)["right"]
        for row in rows(measured, task.work):
            found["rows"].append(row)
            print(json.dumps(row), flush=True)
    write_json(task.out, found)
