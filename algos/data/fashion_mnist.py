"""Fashion-MNIST from its four IDX files (Xiao, Rasul, Vollgraf 2017)."""

from __future__ import annotations

import gzip
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sim.errors import InputError

DEBIAN = Path("/usr/share/datasets/fashion-mnist")
"""Where Debian's package dataset-fashion-mnist puts the files."""


@dataclass(frozen=True)
class Images:
    """uint8 pixels [n, 1, 28, 28] and int64 labels [n]."""

    pixels: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def first(self, count: int) -> Images:
        return Images(self.pixels[:count], self.labels[:count])


def load(folder: str | Path | None = None) -> tuple[Images, Images]:
    """Training (60,000) and test (10,000) images.

    Args:
        folder: holds `train-images-idx3-ubyte` and its three siblings, gzipped or not; by default
            the Debian package's.

    Raises:
        InputError: a file is missing or is not an IDX file.
    """
    root = Path(folder) if folder else DEBIAN
    return _split(root, "train"), _split(root, "t10k")


def _split(root: Path, name: str) -> Images:
    pixels = idx(root, f"{name}-images-idx3-ubyte")
    labels = idx(root, f"{name}-labels-idx1-ubyte")
    if len(pixels) != len(labels):
        raise InputError(
            "labels", len(labels), f"for {len(pixels)} images in {root}", "use the files of one release"
        )
    return Images(torch.from_numpy(pixels)[:, None], torch.from_numpy(labels).long())


def idx(root: Path, name: str) -> np.ndarray:
    """IDX, gzipped or not: two zero bytes, type 8 (uint8), number of dimensions, big-endian sizes, data.

    Raises:
        InputError: it is missing, or is another kind of file.
    """
    packed, plain = root / f"{name}.gz", root / name
    if not packed.exists() and not plain.exists():
        raise InputError(
            "data",
            str(root),
            f"{name}[.gz] is not there",
            "apt install dataset-fashion-mnist, or give the folder of the IDX files",
        )
    try:
        raw = gzip.decompress(packed.read_bytes()) if packed.exists() else plain.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise InputError("data", str(root / name), str(error), "download it again") from None
    whole = raw[:3] == b"\0\0\x08" and len(raw) >= 4 + 4 * raw[3]
    sizes = np.frombuffer(raw, ">u4", raw[3], 4) if whole else None
    if sizes is None or len(raw) != 4 + 4 * len(sizes) + sizes.prod(dtype=np.int64):
        raise InputError(
            "data", str(root / name), "not an IDX file of bytes, or cut short", "download it again"
        )
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * len(sizes)).reshape(sizes).copy()
