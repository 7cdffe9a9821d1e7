"""`make demo`: from a trained network and images to cost and proven Verilog, in minutes.

ResNet-20 on Fashion-MNIST, from the files in algos/zoo; nothing is downloaded.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import torch

import codeword
from algos import reference, zoo
from algos.data.fashion_mnist import Images
from algos.methods import mvq
from algos.training import accuracy
from algos.weights.bits import network_bits
from codeword import answers, priced, progress, rendering, tables
from codeword.reports.render.figure import energy_figure
from sim import accelerator
from sim.estimate import Estimate, estimate
from sim.network import Network
from sim.results import LayerCounts
from sim.systolic.engine import simulate

MACHINE = "ews-cms-16"
MACHINES = [f"{family}-{size}" for size in (16, 64) for family in ("ws", "ews", "ews-cm", "ews-cms")]
IMAGES = 1000
BATCH = 250
SHORT = mvq.SHORT_FINE_TUNING
VERILOG = Path("runs/demo") / MACHINE
FIGURE = Path("reports/energy_resnet20.png")


def main() -> None:
    """Runs every step; exit status 1 if anything that must be equal is not."""
    torch.set_num_threads(1)  # more threads gain little here, and spin where cores are shared
    with progress.shown():
        equal = show_all()
    if not equal:
        sys.exit("something that must be equal is not; see above")


def show_all() -> bool:
    """Every step; whether everything is equal that must be."""
    start = time.perf_counter()
    training, test = zoo.load_images()
    print(f"ResNet-20, {len(test):,} test images of Fashion-MNIST")
    show_compression(training, test)
    network = zoo.load_network()
    equal = show_network(network, test)
    machines = [estimate(network, accelerator.preset(name)) for name in MACHINES]
    show_machines(network, machines)
    equal &= show_verilog(network, test)
    print(f"\n{time.perf_counter() - start:.0f} s in all")
    return equal


def show_compression(training: Images, test: Images) -> None:
    """Float, clustered, and fine-tuned for a moment."""
    print(f"\n1. Compress\n   float32 accuracy                  {accuracy(zoo.load_float(), test):.2%}")
    model = zoo.load_sparse()
    print(f"   after 4:16 pruning and training   {accuracy(model, test):.2%}")
    mvq.cluster(model, mvq.MvqConfig())
    print(f"   after masked k-means              {accuracy(model, test):.2%}")
    begin = time.perf_counter()
    mvq.fine_tune(model, training, SHORT)
    print(
        f"   after a short fine-tuning         {accuracy(model, test):.2%}   "
        f"({SHORT.epochs} epochs of {len(training):,} images, "
        f"{time.perf_counter() - begin:.0f} s)"
    )


def show_network(network: Network, test: Images) -> bool:
    """The shipped network of integers: reference, then every image through the cycle engine."""
    storage = network_bits(network)
    print(
        f"\n2. The shipped network, fine-tuned on all 60,000 images, in integers\n"
        f"   {storage.per_weight:.3f} bits a weight, {storage.ratio:.1f}x smaller than float32, "
        f"codebooks included"
    )
    shown = test.first(IMAGES)
    labels = shown.labels.numpy()
    expected = reference.logits(network, shown.pixels).numpy()
    logits, layers, seconds = simulated(network, shown.pixels.numpy())
    closed = [layer.counts for layer in estimate(network, accelerator.preset(MACHINE)).layers]
    wrong = int((logits != expected).sum())
    print(
        f"   {f'accuracy of {len(shown):,} images, PyTorch':34}"
        f"{(expected.argmax(1) == labels).mean():.2%}\n"
        f"   {f'simulated on {MACHINE}':34}{(logits.argmax(1) == labels).mean():.2%}   "
        f"({seconds:.0f} s)\n"
        f"   {logits.size:,} logits compared, {wrong} differ\n"
        f"   cycles and accesses of every layer "
        f"{'equal' if list(layers) == closed else 'DIFFER FROM'} the closed form"
    )
    return wrong == 0 and list(layers) == closed


def simulated(network: Network, pixels: np.ndarray) -> tuple[np.ndarray, tuple[LayerCounts, ...], float]:
    """Logits [n, classes] of uint8 images, counts of one image, and seconds in the engine."""
    machine = accelerator.preset(MACHINE)
    images = network.input.quantize(pixels / 255)
    runs = [
        simulate(network, machine, images[first : first + BATCH], compare=False)
        for first in range(0, len(images), BATCH)
    ]
    return (np.concatenate([run.outputs for run in runs]), runs[0].layers, sum(run.wall_s for run in runs))


def show_machines(network: Network, machines: list[Estimate]) -> None:
    """One table and one figure."""
    print("\n3. What an image costs")
    rows = [(found.accelerator.name, *priced.costs(found.to_json()).values()) for found in machines]
    columns = [tables.Column("accelerator"), *priced.costs(machines[0].to_json())]
    title = f"{network.name}; TOPS dense-equivalent, TOPS/W without DRAM"
    rendering.show(tables.table(title, columns, rows))
    shown = next(found for found in machines if found.accelerator.name == MACHINE)
    energy_figure(machines, shown, FIGURE)
    print(f"   energy by component and layer: {FIGURE}")


def show_verilog(network: Network, test: Images) -> bool:
    """Exports the Verilog and runs the whole network on it."""
    files = codeword.verilog(MACHINE, VERILOG)
    print(f"\n4. Verilog of {MACHINE}: {len(files)} modules in {VERILOG}, top {files[0].name}")
    image = network.input.quantize(test.first(1).pixels.numpy() / 255)
    print("   building the simulation; about a minute ...", flush=True)
    found = codeword.verify(MACHINE, network=network, image=image, rtl_dir=VERILOG)
    print(f"   {network.name} on the RTL, from start register to interrupt:")
    print("   " + answers.verdict(found).replace("\n", "\n   "))
    return found.equal


if __name__ == "__main__":
    main()
