"""Three ResNets from one codebook, and from codebooks of their own.

Resumable; `text` then runs the networks on their machines. Both ways run the same construction and store at
most the same bits for a network: indices into the universal codebook, or shorter indices and k-means
codebooks, one a layer. The ROM is the chip's; it is reported beside the networks and as part of them all.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from algos import reference, zoo
from algos.body import layers_to_compress
from algos.data import fashion_mnist
from algos.data.fashion_mnist import Images
from algos.frontend.export import export
from algos.methods.blocks import blocks
from algos.methods.vq4all import Vq4allConfig, construct, universal_codebook
from algos.models.resnet import ResNet
from algos.training import Recipe, accuracy, computed_in, fit
from algos.weights.bits import Bits, bits, network_bits
from algos.weights.kmeans import masked_kmeans
from algos.weights.universal import FrozenCodebook, normalized, rounded
from codeword.reports.mvq_accuracy.train import CALIBRATION, progress
from codeword.reports.registry import Task
from sim import artifact
from sim.files import write_json
from sim.formats.encoding import index_bits
from sim.network import CodebookWeight, Conv, Network

FLOAT = Recipe(epochs=3, rate=0.1)
CONFIG = Vq4allConfig(k=2048, epochs=1)
"""Epochs are of each construction."""
IMAGES, TESTS = 20_000, 5_000
"""The first training and test images; what is trained and measured here sees no others."""


def trained(training: Images, work: Path) -> dict[str, ResNet]:
    """ResNet-8 and ResNet-14 trained on these images, and the shipped ResNet-20, all of width 16."""
    models = {}
    for depth in (8, 14):
        torch.manual_seed(depth)
        name = f"resnet{depth}"
        models[name] = ResNet(depth)
        fit(models[name], training, FLOAT, work / f"{name}_float.pt", progress(name))
    return models | {"resnet20": zoo.load_float()}


def own_codebooks(layers: Mapping[str, nn.Module], config: Vq4allConfig) -> dict[str, FrozenCodebook]:
    """A k-means codebook for each layer; all together, with their indices, take at most the bits of the
    indices into the universal one.

    A layer has k' codewords, or half its sub-vectors if these are fewer; k' is the largest that fits.
    """
    vectors = {name: normalized(layer.weight, config.d) for name, layer in layers.items()}

    def storage(k: int) -> float:
        each = (bits(len(v), min(k, len(v) // 2), config.d) for v in vectors.values())
        return sum(each, Bits()).per_weight

    budget = index_bits(config.k) / config.d
    k = max(k for k in range(2, config.k) if storage(k) <= budget)
    return {
        name: rounded(masked_kmeans(v, None, min(k, len(v) // 2), seed=config.seed).codebook, False)
        for name, v in vectors.items()
    }


def used(networks: list[Network]) -> float:
    """The share of the universal codewords that some layer of these networks takes."""
    weights = [
        layer.weight
        for net in networks
        for layer in net.layers
        if isinstance(layer, Conv) and isinstance(layer.weight, CodebookWeight)
    ]
    indices = np.unique(np.concatenate([weight.assignments.ravel() for weight in weights]))
    return len(indices) / len(weights[0].codebook)


def compare(
    models: Mapping[str, ResNet], training: Images, test: Images, config: Vq4allConfig, work: Path
) -> dict[str, Any]:
    """Builds every network both ways; the models stay.

    Args:
        work: folder of the checkpoints and of the networks of integers.
    """
    shared = universal_codebook([layers_to_compress(copy.deepcopy(m)) for m in models.values()], config)
    found: dict[str, Any] = {}
    networks = []
    for name, model in models.items():
        own = own_codebooks(layers_to_compress(copy.deepcopy(model)), config)
        net, universal = _built(f"{name}-universal", model, shared, training, test, config, work)
        networks.append(net)
        found[name] = {
            "accuracy_float": accuracy(model, test),
            "universal": universal | {"codewords_used": used([net])},
            "own": _built(f"{name}-own", model, own, training, test, config, work)[1]
            | {"codewords": max(len(codebook.integers) for codebook in own.values())},
        }
        print(json.dumps(found[name], indent=2), flush=True)
    together = sum((network_bits(net) for net in networks), Bits())
    rom = network_bits(networks[0]).universal
    return {
        "networks": found,
        "codewords_used_by_all": used(networks),
        "rom_bytes": rom // 8,
        "compression_ratio_of_all": together.in_rom.ratio,
        "compression_ratio_of_all_with_rom": replace(together, universal=rom).ratio,
    }


def _built(
    name: str,
    float_model: ResNet,
    codebooks: FrozenCodebook | Mapping[str, FrozenCodebook],
    training: Images,
    test: Images,
    config: Vq4allConfig,
    work: Path,
) -> tuple[Network, dict[str, Any]]:
    model = copy.deepcopy(float_model)
    layers = layers_to_compress(model)
    construct(
        model, layers, blocks(model, layers), codebooks, training, config, work / f"{name}.pt", progress(name)
    )
    net = export(model, training.first(CALIBRATION), name=name)
    artifact.save(net, work / f"{name}.safetensors")
    storage = network_bits(net)
    return net, {
        "precision": computed_in(work / f"{name}.pt"),
        "accuracy_float_activations": accuracy(model, test),
        "accuracy_integer": reference.accuracy(net, test),
        "bits_per_weight": storage.in_rom.per_weight,
        "compression_ratio": storage.in_rom.ratio,
        "compression_ratio_with_rom": storage.ratio,
    }


def run(task: Task) -> None:
    """Trains, constructs and measures; whatever the work folder does not hold yet."""
    torch.set_num_threads(1)
    training, test = fashion_mnist.load(task.data)
    training, test = training.first(IMAGES), test.first(TESTS)
    results = {
        "data": f"Fashion-MNIST, {len(training):,} training and {len(test):,} test images",
        "config": asdict(CONFIG),
        "float_recipe": asdict(FLOAT),
        **compare(trained(training, task.work), training, test, CONFIG, task.work),
    }
    write_json(task.out, results)
