"""The IDX reader."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from algos.data import fashion_mnist
from sim.errors import InputError


def write_idx(path: Path, values: np.ndarray) -> None:
    header = bytes([0, 0, 8, values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape)
    data = header + values.astype(np.uint8).tobytes()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    pixels = np.arange(2 * 28 * 28).reshape(2, 28, 28) % 251
    write_idx(tmp_path / "train-images-idx3-ubyte.gz", pixels)
    write_idx(tmp_path / "train-labels-idx1-ubyte", np.array([3, 9]))
    write_idx(tmp_path / "t10k-images-idx3-ubyte", pixels[1:])
    write_idx(tmp_path / "t10k-labels-idx1-ubyte.gz", np.array([7]))
    return tmp_path


def test_reads_gzipped_and_plain_files(folder: Path) -> None:
    training, test = fashion_mnist.load(folder)
    assert training.pixels.shape == (2, 1, 28, 28)
    assert training.pixels[1, 0, 0, :3].tolist() == [784 % 251, 785 % 251, 786 % 251]
    assert training.labels.tolist() == [3, 9]
    assert len(test) == 1
    assert test.labels.tolist() == [7]
    assert training.first(1).labels.tolist() == [3]


def test_missing_folder_names_the_package(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="apt install dataset-fashion-mnist, or give the folder"):
        fashion_mnist.load(tmp_path)


def test_other_files_are_refused(folder: Path) -> None:
    (folder / "t10k-images-idx3-ubyte").write_bytes(b"PNG and so on")
    with pytest.raises(InputError, match="not an IDX file"):
        fashion_mnist.load(folder)


def test_truncated_file_is_refused(folder: Path) -> None:
    path = folder / "t10k-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(InputError, match="not an IDX file"):
        fashion_mnist.load(folder)


def test_as_many_labels_as_images(folder: Path) -> None:
    write_idx(folder / "train-labels-idx1-ubyte", np.array([3, 9, 1]))
    with pytest.raises(InputError, match="labels = 3"):
        fashion_mnist.load(folder)
