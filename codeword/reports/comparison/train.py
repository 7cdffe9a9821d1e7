"""The vector quantizers side by side on Fashion-MNIST (resumable).

One float ResNet-8 a seed; from it plain VQ, MVQ, SSVQ and VQ4ALL at about 1.5 and 2 bits a weight, codebooks
included, and SSVQ's ablations, all with the same number of updates; ResNet-20, DeiT and Vim from one float
network each; on the last two ViM-VQ as well, which has neither labels nor updates. Each finished run leaves a
JSON file and its integer network; what is there is not run again.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from algos import reference, zoo
from algos.body import Trainable, layers_to_compress
from algos.data import fashion_mnist
from algos.data.fashion_mnist import Images
from algos.frontend.export import export
from algos.methods import vq4all
from algos.methods.method import Data
from algos.methods.vq4all import Vq4allConfig
from algos.models.resnet import ResNet
from algos.training import Recipe, Report, accuracy, computed_in, fit
from algos.weights.bits import network_bits
from algos.weights.pruning import densify, sparsify
from algos.weights.universal import FrozenCodebook
from codeword.reports.comparison import contenders
from codeword.reports.comparison.contenders import METHODS, Contender
from codeword.reports.registry import Task
from sim import artifact
from sim.files import write_json

SEEDS = (0, 1, 2)
FLOAT = Recipe(epochs=4, rate=0.1)
SPARSE = {
    "resnet8": Recipe(epochs=1, rate=0.02),
    "deit": Recipe(epochs=1, rate=1e-3, optimizer="adamw", batch=64, decay=0.05),
}
"""One epoch of all images, with the optimizer that trained the network."""
TUNED = 20_000
"""Images of the fine-tuning, the first ones."""
SEVERAL_SEEDS = ("resnet8", "deit")
"""Of them ResNet-8 alone has a float network a seed."""


@dataclass(frozen=True, eq=False)
class Queue:
    """All runs, in order, in the folder `work`."""

    training: Images
    test: Images
    work: Path

    def run(self) -> None:
        """Whatever has left no result yet."""
        for network, seed, method in self.runs():
            name = f"{network}-{seed}-{method.replace(' ', '-')}"
            if not (self.work / f"{name}.json").exists():
                write_json(self.work / f"{name}.json", self._run(name, network, seed, method))

    def runs(self) -> Iterator[tuple[str, int, str]]:
        """Network, seed and method: first one seed of everything."""
        for seed in SEEDS:
            for network, methods in METHODS.items():
                if seed == SEEDS[0] or network == "resnet8":
                    yield network, seed, "float"
                if seed == SEEDS[0] or network in SEVERAL_SEEDS:
                    yield from ((network, seed, method) for method in methods)

    def _run(self, name: str, network: str, seed: int, method: str) -> dict[str, Any]:
        begin = time.perf_counter()
        way = METHODS[network].get(method)
        sparse = way is not None and way.method.starts_sparse
        model = self._start(network, seed, sparse)
        start = accuracy(model, self.test) if sparse else None
        if way is not None:
            self._compress(model, network, seed, way, name)
        exported = export(model, self.training.first(contenders.CALIBRATION), name=name)
        artifact.save(exported, self.work / f"{name}.safetensors")
        storage = network_bits(exported)
        result = {
            "network": network,
            "seed": seed,
            "method": method,
            "accuracy": accuracy(model, self.test),
            "accuracy_integer": reference.accuracy(exported, self.test),
            "seconds": round(time.perf_counter() - begin, 1),
            "torch": torch.__version__,
        }
        if way is not None:
            result |= {
                "config": asdict(way.configured(seed)),
                "images": TUNED if way.trains else contenders.CALIBRATION,
                "epochs": contenders.EPOCHS if way.trains else 0,
                "bits": asdict(storage),
                "bits_per_weight": storage.in_rom.per_weight,
                "compression_ratio": storage.in_rom.ratio,
            }
        if sparse:
            result["accuracy_start"] = start
        if way is not None and way.trains:
            result["precision"] = computed_in(self.work / f"{name}.pt")
        print(name, f"{result['accuracy_integer']:.2%}", f"{result['seconds']} s", flush=True)
        return result

    def _compress(self, model: Trainable, network: str, seed: int, way: Contender, name: str) -> None:
        """In place."""
        images, method = self.training.first(TUNED), way.method
        if method is vq4all.METHOD:
            of = self.universal if network.startswith("resnet") else universal_of_tokens
            method = vq4all.from_rom(of(way.config))
        data = Data(images, images.first(contenders.CALIBRATION))
        method.apply(model, data, way.configured(seed), self.work / f"{name}.pt", _printed(name))

    def _start(self, network: str, seed: int, sparse: bool) -> Trainable:
        """A float network, or the same after 4:16 sparse training."""
        if network == "resnet20":
            return zoo.load("resnet20-fashion", sparse=sparse)
        model = self.dense(seed) if network == "resnet8" else zoo.load(f"{network}-fashion")
        return self.sparse(model, network, seed) if sparse else model

    def dense(self, seed: int) -> ResNet:
        """ResNet-8 of width 16, trained in float."""
        torch.manual_seed(seed)
        model = ResNet(8)
        recipe = replace(FLOAT, seed=seed)
        fit(model, self.training, recipe, self.work / f"float-{seed}.pt", _printed("float"))
        return model

    def sparse(self, model: Trainable, network: str, seed: int) -> Trainable:
        """The network after SR-STE training at 4:16, in place."""
        layers = list(model.body().values())
        sparsify(layers, 16, 4, 16)
        recipe = replace(SPARSE[network], seed=seed)
        name = "sparse" if network == "resnet8" else f"sparse-{network}"
        fit(model, self.training, recipe, self.work / f"{name}-{seed}.pt", _printed("sparse"))
        densify(layers)
        return model

    @cached_property
    def _networks(self) -> list[dict[str, Any]]:
        models = [*(self.dense(seed) for seed in SEEDS), zoo.load_float()]
        return [dict(layers_to_compress(model)) for model in models]

    def universal(self, config: Vq4allConfig) -> FrozenCodebook:
        """One codebook for the ResNet-8 of every seed and ResNet-20."""
        return vq4all.universal_codebook(self._networks, config)


def universal_of_tokens(config: Vq4allConfig) -> FrozenCodebook:
    """One codebook for DeiT and Vim."""
    return vq4all.universal_codebook(
        [layers_to_compress(zoo.load(f"{name}-fashion")) for name in ("deit", "vim")], config
    )


def _printed(name: str) -> Report:
    return lambda epoch, loss, seconds: print(
        f"{name}: epoch {epoch}, loss {loss:.4f}, {seconds:.0f} s", flush=True
    )


def run(task: Task) -> None:
    """Whatever the work folder does not hold yet."""
    torch.set_num_threads(1)  # repeats to the bit
    task.work.mkdir(parents=True, exist_ok=True)
    training, test = fashion_mnist.load(task.data)
    Queue(training, test, task.work).run()
