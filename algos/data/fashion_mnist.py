"""Fashion-MNIST: 60,000 training and 10,000 test images of clothes, 28x28 bytes, 10 classes.

The four IDX files are read from a folder, gzipped or not. Nothing is downloaded; Debian and
Ubuntu ship them as the package dataset-fashion-mnist.
"""

from __future__ import annotations

import gzip
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sim.errors import InputError

DEBIAN_FOLDER = Path("/usr/share/datasets/fashion-mnist")
FOLDER_VARIABLE = "FASHION_MNIST"
CLASSES = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker",
           "Bag", "Ankle boot")  # fmt: skip
_PREFIX = {"train": "train", "test": "t10k"}


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Images uint8 [n, 1, 28, 28] and labels uint8 [n]."""

    images: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.images)

    def take(self, index: slice | np.ndarray) -> ImageSet:
        """A part of the set."""
        return ImageSet(self.images[index], self.labels[index])


def load(split: str, folder: str | Path | None = None) -> ImageSet:
    """The "train" or "test" images.

    Args:
        folder: where the IDX files are; by default the environment variable FASHION_MNIST, and
            without it the Debian package's folder.

    Raises:
        InputError: a file is missing or is not an IDX file.
    """
    if split not in _PREFIX:
        raise InputError("split", split, "unknown", "use train or test")
    where = Path(folder or os.environ.get(FOLDER_VARIABLE) or DEBIAN_FOLDER)
    images = _read_idx(where, f"{_PREFIX[split]}-images-idx3-ubyte")
    labels = _read_idx(where, f"{_PREFIX[split]}-labels-idx1-ubyte")
    if len(images) != len(labels):
        raise InputError("labels", len(labels), f"{len(images)} images have as many labels",
                         "use the files of one release")
    return ImageSet(images[:, None], labels)


def _read_idx(folder: Path, name: str) -> np.ndarray:
    """An IDX file of unsigned bytes: 00 00 08 rank, one big-endian size a dimension, the data."""
    for path in (folder / f"{name}.gz", folder / name):
        if path.is_file():
            data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
            break
    else:
        raise InputError("data folder", folder, f"has no {name} or {name}.gz",
                         "apt install dataset-fashion-mnist, or give the folder with the IDX files")
    rank = data[3] if data[:3] == b"\x00\x00\x08" else 0
    sizes = np.frombuffer(data, ">u4", rank, 4) if rank else np.zeros(0, np.uint32)
    if not rank or len(data) - 4 - 4 * rank != np.prod(sizes, dtype=np.int64):
        raise InputError("IDX file", path, "is damaged or not an IDX file of bytes",
                         "fetch it again")
    return np.frombuffer(data, np.uint8, offset=4 + 4 * rank).reshape(sizes.astype(int))
