"""Trained networks that ship with the package: ResNet-20, Vim and DeiT on Fashion-MNIST, see the READMEs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from algos import checkpoint
from algos.body import Trainable
from algos.data.fashion_mnist import Images
from algos.models.resnet import ResNet
from algos.zoo.tokens import load_deit, load_vim
from sim import artifact
from sim.network import Network

FOLDER = Path(__file__).with_name("resnet20_fashion")


def load_float() -> ResNet:
    """The network as trained, float32."""
    return checkpoint.load(FOLDER / "float.safetensors")


def load_sparse() -> ResNet:
    """After 4:16 pruning and SR-STE training: where MVQ starts."""
    return checkpoint.load(FOLDER / "sparse.safetensors")


def load_mvq() -> ResNet:
    """After masked k-means and fine-tuning, with its codebooks attached."""
    return checkpoint.load(FOLDER / "mvq.safetensors")


def load_network() -> Network:
    """The MVQ network in integers."""
    return artifact.load(FOLDER / "network.safetensors")


def load_images() -> tuple[Images, Images]:
    """The first 3,000 training and the first 2,000 test images of Fashion-MNIST.

    Enough for calibration, for a short fine-tuning and for an estimate of the accuracy, without
    the data set itself.
    """
    with np.load(FOLDER / "images.npz") as file:

        def part(split: str) -> Images:
            return Images(
                torch.from_numpy(file[f"{split}_pixels"]), torch.from_numpy(file[f"{split}_labels"]).long()
            )

        return part("training"), part("test")


_LOADERS: dict[str, Callable[[], Trainable]] = {
    "resnet20-fashion": load_float,
    "vim-fashion": load_vim,
    "deit-fashion": load_deit,
}
NAMES = tuple(_LOADERS)


def load(name: str, *, sparse: bool = False) -> Trainable:
    """A float network of `NAMES`.

    Args:
        sparse: where MVQ starts, if the network has been pruned and trained on, as ResNet-20 alone.
    """
    if sparse and name == "resnet20-fashion":
        return load_sparse()
    return _LOADERS[name]()
