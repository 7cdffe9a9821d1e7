"""ImageNet networks compressed without fine-tuning, on 20 pictures: `python -m algos.reproduce_imagenet`.

Resumable: the work folder keeps every row.

Twenty pictures are no accuracy. What they do tell is how far the logits move: the signal-to-noise ratio of
20,000 numbers against the float network's, and whether the first class stays.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import platform
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from algos import integer, mvq, ssvq
from algos.bits import network_bits
from algos.data import imagenet
from algos.export import export_module
from algos.lowering import SIGNED
from algos.models.inverted_residual import SOURCES, InvertedResidualNet, pretrained
from algos.mvq import MvqConfig
from algos.quantize import Activation, calibrate
from algos.ssvq import SsvqConfig
from sim import markdown
from sim.files import write_json, write_whole

RATES: dict[str, tuple[MvqConfig | SsvqConfig, ...]] = {
    "vq": tuple(MvqConfig(k, d, n=1, m=2, case="A") for k, d in ((256, 4), (1024, 4), (256, 2))),
    "ssvq": tuple(SsvqConfig(k, d) for k, d in ((16, 4), (64, 4), (64, 2))),
    "mvq 1:2": tuple(MvqConfig(k, d, n=1, m=2) for k, d in ((64, 4), (256, 4), (128, 2))),
}
"""2, 2.5 and 4 bits a weight each, of assignments with signs or masks; codebooks come on top."""


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

    def measure(self, found: Tensor) -> dict[str, Any]:
        """Of other logits [n, 1000], which may have a factor of their own."""
        classes = found.argmax(1)
        return {"agree": int((classes == self.logits.argmax(1)).sum()),
                "right": int((classes == self.labels).sum()),
                "sqnr_db": sqnr(self.logits, found)}

    def row(self, method: str, config: MvqConfig | SsvqConfig | None) -> dict[str, Any]:
        """The network by one method, None for none, with float activations and in integers."""
        model = copy.deepcopy(self.model)
        if isinstance(config, MvqConfig):
            mvq.cluster(model, config)
        elif config is not None:
            ssvq.cluster(model, config)
        quantized = Activation(calibrate(self.inputs, SIGNED).scale)
        network = export_module(model, self.inputs, quantized, name=self.name,
                                compressible=list(self.model.body()))
        pixels = (self.inputs / quantized.scale).round().clamp(-128, 127).long()
        whole = torch.cat([integer.run(network, one)[network.layers[-1].name].flatten(1)
                           for one in pixels.split(1)])
        with torch.no_grad():
            real = model(self.inputs)
        storage = network_bits(network)
        return {"network": self.name, "method": method,
                **({"k": config.k, "d": config.d, "bits_per_weight": storage.per_weight,
                    "compression_ratio": storage.ratio} if config else {}),
                "float_activations": self.measure(real), "integers": self.measure(whole)}


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
    for method, config in (("INT8", None), *((m, c) for m, configs in RATES.items() for c in configs)):
        of = f"-{config.k}-{config.d}" if config else ""
        kept = work / f"{measured.name}-{method}{of}.json".replace(" ", "-").replace(":", "-")
        if not kept.exists():
            write_json(kept, measured.row(method, config))
        yield json.loads(kept.read_text())


def text(found: Mapping[str, Any]) -> str:
    """The report."""
    count = found["pictures"]
    surviving = "; ".join(f"{row['network']}, {row['method']}, {row['bits_per_weight']:.2f} bits"
                          for row in found["rows"] if "k" in row and 2 * row["integers"]["agree"] >= count)
    float_right = ", ".join(f"{name} {right}" for name, right in found["float_right"].items())
    return "\n\n".join((
        "# Compressed ImageNet networks beside the float ones",
        f"Made by `make reproduce-imagenet`: {' and '.join(found['float_right'])} with published weights, "
        "1x1 convolutions compressed, the others and the classifier dense INT8, **no fine-tuning and no "
        f"sparse training**. There are {count} labelled pictures: too few for an accuracy. The same {count} "
        f"set the activation scales. Of them the float networks get right: {float_right}.",
        "\"Agree\": pictures whose first class is the float network's. \"SQNR\": of the "
        f"{count} x 1,000 logits against the float network's, up to one factor, *measured*; 0 dB means that "
        "nothing is left of them. Bits are *counted*, codebooks included.",
        markdown.table(("network", "method", "k, d", "bits a weight", "ratio", "agree", "right", "SQNR, dB",
                        "integers: agree", "right", "SQNR, dB"), map(_line, found["rows"])),
        "At least half of the first classes survive, in integers and without fine-tuning, in "
        f"{surviving or 'no compressed network'}.",
        "MVQ 1:2 sets half of the weights to 0 that were never trained for it, which the paper does before "
        "it clusters; its rows show what that step is worth, not what MVQ reaches. The published accuracies "
        "at 16x (SSVQ 65.9 %, MVQ 65.1 % on MobileNetV2) come after fine-tuning on ImageNet.",
    )) + "\n"


def _line(row: Mapping[str, Any]) -> tuple[str, ...]:
    storage = (f"{row['k']}, {row['d']}", f"{row['bits_per_weight']:.2f}",
               f"{row['compression_ratio']:.1f}x") if "k" in row else ("", "8", "4.0x")
    measured = [cell for where in ("float_activations", "integers") for cell in (
        str(row[where]["agree"]), str(row[where]["right"]), _db(row[where]["sqnr_db"]))]
    return (row["network"], row["method"], *storage, *measured)


def _db(value: float) -> str:
    """Beyond the digits of float32 nothing differs."""
    return f"{value:.1f}" if value < 150 else "no noise"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=Path("runs/imagenet"), help="finished rows")
    parser.add_argument("--out", type=Path, default=Path("reports/imagenet_agreement.json"))
    parser.add_argument("networks", nargs="*", default=list(SOURCES), help=", ".join(SOURCES))
    options = parser.parse_args()
    torch.set_num_threads(1)
    for folder in (options.work, options.out.parent):
        folder.mkdir(parents=True, exist_ok=True)
    found: dict[str, Any] = {
        "versions": {"torch": torch.__version__, "python": platform.python_version()},
        "pictures": 0, "float_right": {}, "rows": []}
    for name in options.networks:
        measured = bench(name)
        found["pictures"] = len(measured.labels)
        found["float_right"][name] = measured.measure(measured.logits)["right"]
        for row in rows(measured, options.work):
            found["rows"].append(row)
            print(json.dumps(row), flush=True)
    write_json(options.out, found)
    write_whole(options.out.with_suffix(".md"), text(found))


if __name__ == "__main__":
    main()
