"""The comparison of one universal codebook with a codebook for each layer."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch

from algos.body import layers_to_compress
from algos.methods.vq4all import Vq4allConfig
from codeword.reports.vq4all.train import compare, own_codebooks, used
from sim.network import CodebookWeight, Conv, Network, TensorSpec
from tests.algos.small_models import images, resnet8

CONFIG = Vq4allConfig(k=256, d=8, candidates=4, epochs=1, batch=16)


@pytest.mark.parametrize("k", [16, 256, 4096])
def test_own_codebooks_spend_the_bits_of_universal_indices(k) -> None:
    layers = layers_to_compress(resnet8(16))
    sizes = {name: layer.weight.numel() // 8 for name, layer in layers.items()}

    def total(own: int) -> int:
        words = {name: min(own, n // 2) for name, n in sizes.items()}
        return sum(n * math.ceil(math.log2(words[name])) + words[name] * 64 for name, n in sizes.items())

    found = own_codebooks(layers, Vq4allConfig(k=k, d=8))
    top = max(len(codebook.integers) for codebook in found.values())
    budget = round(math.log2(k)) * sum(sizes.values())
    assert total(top) <= budget < total(top + 1)
    for name, codebook in found.items():
        assert not codebook.universal
        assert len(codebook.integers) == min(top, sizes[name] // 2)


def test_used_codewords_of_several_networks() -> None:
    def net(*indices: int) -> Network:
        weight = CodebookWeight(
            np.zeros((8, 4), np.int8), np.array(indices, np.uint16).reshape(1, -1, 1, 1), universal=True
        )
        layer = Conv("c", "input", weight, np.zeros(4, np.int32))
        return Network("n", TensorSpec((len(indices), 1, 1)), (layer,))

    assert used([net(1, 1, 7)]) == 2 / 8
    assert used([net(1, 1, 7), net(7, 0)]) == 3 / 8


def test_compare(tmp_path) -> None:
    models = {"one": resnet8(8), "two": resnet8(8, seed=1)}
    before = [copy.deepcopy(model.state_dict()) for model in models.values()]
    result = compare(models, images(32), images(16, seed=2), CONFIG, tmp_path)
    for model, tensors in zip(models.values(), before, strict=True):
        for name, tensor in model.state_dict().items():
            assert torch.equal(tensor, tensors[name])
    for found in result["networks"].values():
        assert found["universal"]["bits_per_weight"] == 1.0
        assert found["own"]["bits_per_weight"] <= 1.0
        assert found["universal"]["codewords_used"] <= result["codewords_used_by_all"] <= 1
    assert result["rom_bytes"] == 256 * 8
    assert result["compression_ratio_of_all"] == 32
    weights = 2 * sum(layer.weight.numel() for layer in models["one"].body().values())
    assert result["compression_ratio_of_all_with_rom"] == pytest.approx(32 * weights / (weights + 256 * 64))
    assert len(list(tmp_path.glob("*.codebook.safetensors"))) == 1
