"""The vector quantizers side by side on Fashion-MNIST: `python -m algos.comparison` (resumable).

One float ResNet-8 a seed; from it plain VQ, MVQ, SSVQ and VQ4ALL at about 1.5 and 2 bits a weight, codebooks
included, and SSVQ's ablations, all with the same number of updates; then ResNet-20. Each finished run leaves
a JSON file and its integer network; what is there is not run again.
"""

from __future__ import annotations

import argparse
import copy
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from algos import integer, mvq, ssvq, vq4all, zoo
from algos.bits import network_bits
from algos.body import layers_to_compress
from algos.data import fashion_mnist
from algos.data.fashion_mnist import Images
from algos.export import export
from algos.models.resnet import ResNet
from algos.mvq import MvqConfig
from algos.pruning import densify, sparsify
from algos.signs import Freezing
from algos.ssvq import SsvqConfig
from algos.training import Recipe, Report, accuracy, fit
from algos.universal import FrozenCodebook
from algos.vq4all import Vq4allConfig
from sim import artifact
from sim.files import write_json

SEEDS = (0, 1, 2)
FLOAT = Recipe(epochs=4, rate=0.1)
SPARSE = Recipe(epochs=1, rate=0.02)
TUNED = 20_000
"""Images of the fine-tuning, the first ones."""
EPOCHS = 4
CALIBRATION = 512
"""Training images that set the activation scales."""
INTERVAL = 25
"""F_i: SSVQ examines its signs as often in our 624 updates as it would in 12,500 with its 500."""


@dataclass(frozen=True, eq=False)
class Start:
    """What a method starts from.

    Attributes:
        dense, sparse: the float network, and the same after 4:16 sparse training.
        universal: draws the codebook of all networks.
    """

    dense: ResNet
    sparse: Callable[[], ResNet]
    universal: Callable[[Vq4allConfig], FrozenCodebook]


@dataclass(frozen=True)
class Masked:
    """MVQ and its plain relatives."""

    config: MvqConfig

    def __call__(self, start: Start, seed: int, images: Images, checkpoint: Path, report: Report) -> ResNet:
        model = copy.deepcopy(start.dense if self.config.case == "A" else start.sparse())
        mvq.cluster(model, replace(self.config, seed=seed))
        recipe = replace(mvq.FINE_TUNING, epochs=EPOCHS, seed=seed)
        return mvq.fine_tune(model, images, recipe, checkpoint, report)


@dataclass(frozen=True)
class Signed:
    """SSVQ."""

    config: SsvqConfig

    def __call__(self, start: Start, seed: int, images: Images, checkpoint: Path, report: Report) -> ResNet:
        model = copy.deepcopy(start.dense)
        ssvq.cluster(model, replace(self.config, seed=seed))
        recipe = replace(ssvq.FINE_TUNING, epochs=EPOCHS, seed=seed)
        return ssvq.fine_tune(model, images, recipe, checkpoint, report)


@dataclass(frozen=True)
class Universal:
    """VQ4ALL with one codebook for all networks of this comparison."""

    config: Vq4allConfig

    def __call__(self, start: Start, seed: int, images: Images, checkpoint: Path, report: Report) -> ResNet:
        model = copy.deepcopy(start.dense)
        config = replace(self.config, seed=seed, epochs=EPOCHS)
        vq4all.construct(model, layers_to_compress(model), vq4all.blocks(model), start.universal(self.config),
                         images, config, checkpoint, report)
        return model


_FREEZING = Freezing(interval=INTERVAL)
METHODS: dict[str, Masked | Signed | Universal] = {
    "vq-1.5": Masked(MvqConfig(k=96, d=8, case="A")),
    "vq-2": Masked(MvqConfig(k=144, d=8, case="A")),
    "mvq-1.5": Masked(MvqConfig(k=32, d=16)),
    "mvq-2": Masked(MvqConfig(k=64, d=16)),
    "ssvq-1.5": Signed(SsvqConfig(k=8, d=8, freezing=_FREEZING)),
    "ssvq-2": Signed(SsvqConfig(k=16, d=4, freezing=_FREEZING)),
    "vq4all-1.5": Universal(Vq4allConfig(k=4096, d=8)),
    "vq4all-2": Universal(Vq4allConfig(k=32768, d=8)),
    "ssvq-1.5 fixed signs": Signed(SsvqConfig(k=8, d=8, learn_signs=False)),
    "ssvq-1.5 no freezing": Signed(SsvqConfig(k=8, d=8, freezing=None)),
    "ssvq-1.5 average": Signed(SsvqConfig(k=8, d=8, freezing=replace(_FREEZING, vote="average"))),
}
"""By name: the method and about how many bits a weight takes on ResNet-8."""
FINAL = ("vq-1.5", "mvq-1.5", "ssvq-1.5", "vq4all-1.5")
"""Those that ResNet-20 runs too."""


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
            yield from (("resnet8", seed, method) for method in ("float", *METHODS))
            if seed == 0:
                yield from (("resnet20", seed, method) for method in ("float", *FINAL))

    def _run(self, name: str, network: str, seed: int, method: str) -> dict[str, Any]:
        begin = time.perf_counter()
        start = self._start(network, seed)
        model = start.dense
        if method != "float":
            images = self.training.first(TUNED)
            model = METHODS[method](start, seed, images, self.work / f"{name}.pt", _printed(name))
        exported = export(model, self.training.first(CALIBRATION), name=name)
        artifact.save(exported, self.work / f"{name}.safetensors")
        storage = network_bits(exported)
        result = {"network": network, "seed": seed, "method": method,
                  "accuracy": accuracy(model, self.test),
                  "accuracy_integer": integer.accuracy(exported, self.test),
                  "seconds": round(time.perf_counter() - begin, 1), "torch": torch.__version__}
        if method != "float":
            result |= {"config": asdict(METHODS[method].config),
                       "images": TUNED, "epochs": EPOCHS, "bits": asdict(storage),
                       "bits_per_weight": storage.in_rom.per_weight,
                       "compression_ratio": storage.in_rom.ratio}
        print(name, f"{result['accuracy_integer']:.2%}", f"{result['seconds']} s", flush=True)
        return result

    def _start(self, network: str, seed: int) -> Start:
        if network == "resnet20":
            return Start(zoo.load_float(), zoo.load_sparse, self.universal)
        return Start(self.dense(seed), lambda: self.sparse(seed), self.universal)

    def dense(self, seed: int) -> ResNet:
        """ResNet-8 of width 16, trained in float."""
        torch.manual_seed(seed)
        model = ResNet(8)
        recipe = replace(FLOAT, seed=seed)
        fit(model, self.training, recipe, self.work / f"float-{seed}.pt", _printed("float"))
        return model

    def sparse(self, seed: int) -> ResNet:
        """The same after SR-STE training at 4:16."""
        model = self.dense(seed)
        layers = list(model.body().values())
        sparsify(layers, 16, 4, 16)
        recipe = replace(SPARSE, seed=seed)
        fit(model, self.training, recipe, self.work / f"sparse-{seed}.pt", _printed("sparse"))
        densify(layers)
        return model

    @cached_property
    def _networks(self) -> list[dict[str, Any]]:
        models = [*(self.dense(seed) for seed in SEEDS), zoo.load_float()]
        return [dict(layers_to_compress(model)) for model in models]

    def universal(self, config: Vq4allConfig) -> FrozenCodebook:
        """One codebook for the ResNet-8 of every seed and ResNet-20."""
        return vq4all.universal_codebook(self._networks, config)


def _printed(name: str) -> Report:
    return lambda epoch, loss, seconds: print(
        f"{name}: epoch {epoch}, loss {loss:.4f}, {seconds:.0f} s", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", help="folder of the IDX files")
    parser.add_argument("--work", type=Path, default=Path("runs/comparison"), help="results and checkpoints")
    options = parser.parse_args()
    torch.set_num_threads(1)  # repeats to the bit
    options.work.mkdir(parents=True, exist_ok=True)
    training, test = fashion_mnist.load(options.data)
    Queue(training, test, options.work).run()


if __name__ == "__main__":
    main()
