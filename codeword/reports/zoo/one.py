"""One module, in a process of its own: `python -m codeword.reports.zoo.one NAME FOLDER`."""

from __future__ import annotations

import copy
import json
import logging
import math
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from algos.frontend.export import Quantized, quantize
from algos.methods.registry import METHODS
from codeword import api, inputs
from codeword.reports.zoo import excerpts, modules, origin, synthetic
from codeword.reports.zoo.settings import ENGINE, RTL, WEIGHTS, D, K
from rtl.verify.verify import verify_network
from sim.errors import InputError
from sim.files import write_whole
from sim.network import Network
from sim.results import Simulation

_LONGEST = 400  # characters of a reason


class Measured:
    """What is known of a module so far, kept in a file step by step.

    Attributes:
        record: as in the report.
    """

    def __init__(self, entry: modules.Entry, folder: Path) -> None:
        self.path = folder / f"{entry.name}.json"
        self.record: dict[str, Any] = {"name": entry.name, "package": entry.package}
        self.record |= {"version": origin.release(entry), "made_of": origin.made_of(entry)}
        self.record |= {"note": entry.note, "weights": "trained" if entry.package == "ours" else "synthetic"}

    def step(self, name: str, work: Callable[[], dict[str, Any]]) -> bool:
        """Adds what a step finds, or why it does not; says whether it did."""
        begin = time.perf_counter()
        try:
            found = work()
        except InputError as error:
            found = {"refused": _line(error)}
        except Exception as error:  # what a user would see as a traceback
            found = {"failed": _line(repr(error))}
        self.record[name] = found | {"seconds": round(time.perf_counter() - begin, 1)}
        write_whole(self.path, json.dumps(self.record, indent=1) + "\n")
        return not found.keys() & {"refused", "failed"}


def _line(text: object) -> str:
    return " ".join(str(text).split())[:_LONGEST]


def built(entry: modules.Entry) -> tuple[nn.Module, list[Tensor]]:
    """The module with its weights, and the calibration batches."""
    torch.manual_seed(0)
    batches = synthetic.samples(entry.extent)
    module = entry.build().eval()
    return module if entry.package == "ours" else synthetic.settle(module, batches), batches


def measure(entry: modules.Entry, folder: Path) -> None:
    """INT8, engine, VQ, engine, RTL."""
    measured = Measured(entry, folder)
    module, batches = built(entry)
    measured.record["parameters"] = sum(p.numel() for p in module.parameters())
    networks: dict[str, Network] = {}
    simulated: list[Simulation] = []

    def int8() -> dict[str, Any]:
        found = quantize(module, batches, allow="*")
        networks["int8"] = found.network
        return _fidelity(found)

    def vq() -> dict[str, Any]:
        found, bits = clustered(module, batches)
        networks["vq"] = found.network
        return bits | _fidelity(found)

    def engine(name: str) -> dict[str, Any]:
        accelerator, settings = ENGINE[name]
        given = image(networks[name], batches[0])
        simulated.append(api.simulate(networks[name], accelerator, given, settings=settings))
        cycles = sum(layer.total_cycles for layer in simulated[-1].layers)
        exact = simulated[-1].bit_exact
        return {"accelerator": " ".join([accelerator, *settings]), "bit_exact": exact, "cycles": cycles}

    for name, work in (("int8", int8), ("vq", vq)):
        if measured.step(name, work):
            measured.step(f"{name}_engine", partial(engine, name))
    measured.step("rtl", lambda: _rtl(simulated, folder))


def _fidelity(found: Quantized) -> dict[str, Any]:
    last, worst = found.fidelity[-1], min(found.fidelity, key=lambda one: one.alone_db)
    return {
        "sha256": origin.content(found.network),
        "layers": len(found.network.layers),
        "kinds": dict(Counter(layer.kind for layer in found.network.layers).most_common()),
        "macs": found.network.macs,
        "sqnr_db": _decibels(last.sqnr_db),
        "correlation": round(last.correlation, 5),
        "worst": worst.name,
        "worst_alone_db": _decibels(worst.alone_db),
    }


def _decibels(value: float) -> float | None:
    """None where nothing differs."""
    return round(value, 1) if math.isfinite(value) else None


def clustered(module: nn.Module, batches: list[Tensor]) -> tuple[Quantized, dict[str, Any]]:
    """Codebooks by k-means, no training; integers beside the float network of the codebooks."""
    module, method = copy.deepcopy(module), METHODS["vq"]
    options: dict[str, Any] = {"k": K, "d": D, "epochs": 0, "batches": batches}
    planned = method.plan(module, **options).targets
    sizes = {name: target.layer.weight.numel() for name, target in planned.items()}
    smallest = sorted(sizes, key=sizes.__getitem__)
    total = accumulate(map(sizes.__getitem__, smallest))
    taken = [
        name
        for n, (name, weights) in enumerate(zip(smallest, total, strict=True))
        if not n or weights <= WEIGHTS
    ]
    prepared = method.prepare(module, include=taken, **options)
    bits = prepared.plan.bits
    found = quantize(prepared.finish(), batches, allow="*")
    layers = {"coded_layers": len(taken), "layers_to_code": len(planned), "coded_weights": bits.weights}
    return found, layers | {"bits_per_weight": round(bits.per_weight, 3)}


def image(network: Network, batch: Tensor) -> np.ndarray:
    """The first sample as the network takes it."""
    return network.input.quantize(batch[:1].numpy().reshape(1, *network.input.shape))


def _rtl(simulated: list[Simulation], folder: Path) -> dict[str, Any]:
    """Kinds of layers that the module has; those that no module before it showed run on the RTL."""
    known = {kind for path in folder.glob("*.json") for kind in _shown(json.loads(path.read_text()))}
    kinds: list[str] = []
    shown: dict[str, Any] = {}
    for run in simulated:
        cuts = excerpts.smallest(run.network)
        kinds += [kind for kind in cuts if kind not in kinds]
        for kind, cut in cuts.items():
            accelerator, simulator, most = RTL[kind.endswith(", codebook")]
            if kind not in known | shown.keys() and cut.network.macs <= most:
                found = verified(cut, run.tensors[cut.reads], accelerator, simulator)
                shown[kind] = {"layer": cut.layer, "accelerator": accelerator, **found}
    return {"kinds": kinds, "shown": shown}


def _shown(record: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = record.get("rtl", {}).get("shown", {})
    return found


def verified(
    cut: excerpts.Excerpt, ifmap: np.ndarray, accelerator: str, simulator: str, settings: Sequence[str] = ()
) -> dict[str, Any]:
    """What the RTL does with a layer; why not, where it does nothing."""
    try:
        found = verify_network(inputs.accelerator(accelerator, settings), cut.network, ifmap, simulator)
    except InputError as error:
        return {"refused": _line(error)}
    return {
        "equal": found.equal,
        "words": found.words_compared,
        "cycles_model": found.cycles_model,
        "cycles_rtl": found.cycles_rtl,
    }


def main(work: Callable[[modules.Entry, Path], None], name: str, folder: str) -> None:
    """Does something with an entry, in a process of its own."""
    warnings.simplefilter("ignore")  # packages warn of what they do themselves
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    work(modules.named(name), Path(folder))


if __name__ == "__main__":
    main(measure, *sys.argv[1:])
