"""Samples and their preprocessing, against torch's own resizing and plain slices."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from algos.data import preprocess, samples
from sim.errors import InputError
from tests.algos.data.test_data import write_idx

MEAN, DEVIATION = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


def by_torch(pixels: np.ndarray, resize: int, crop: int) -> Tensor:
    """As torchvision's documentation describes it: RGB bytes [H, W, 3] -> 0..1 [3, crop, crop]."""
    height, width = pixels.shape[:2]
    short = min(height, width)
    size = [resize if side == short else int(resize * side / short) for side in (height, width)]
    x = torch.from_numpy(pixels).permute(2, 0, 1)[None].float()
    x = F.interpolate(x, size, mode="bilinear", antialias=True, align_corners=False)[0].round() / 255
    top, left = (round((side - crop) / 2.0) for side in size)
    return x[:, top : top + crop, left : left + crop]


@pytest.mark.parametrize("size", [(300, 401), (517, 260), (256, 256), (90, 61)])
def test_imagenet(size: tuple[int, int]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3)).astype(np.uint8)
    found = preprocess.parse("imagenet").picture(Image.fromarray(pixels))
    mean, deviation = (torch.tensor(each)[:, None, None] for each in (MEAN, DEVIATION))
    step = 1 / 255 / deviation  # Pillow rounds after each direction, torch once
    difference = (found - (by_torch(pixels, 256, 224) - mean) / deviation).abs()
    assert found.shape == (3, 224, 224)
    assert bool((difference <= 1.01 * step).all())


def test_forms() -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (8, 8, 3)).astype(np.uint8)
    picture, real = Image.fromarray(pixels), torch.from_numpy(pixels).permute(2, 0, 1).float()
    torch.testing.assert_close(preprocess.parse("unit").picture(picture), real / 255)
    torch.testing.assert_close(preprocess.parse("none").picture(picture), real)
    own = preprocess.parse("0.5:0.4:0.3,0.25:0.5:1/8").picture(picture)
    expected = (real / 255 - torch.tensor([0.5, 0.4, 0.3])[:, None, None]) / torch.tensor([0.25, 0.5, 1])[
        :, None, None
    ]
    torch.testing.assert_close(own, expected)
    assert preprocess.parse("imagenet/112").resize == 128


def test_folders_of_classes_are_numbered_by_name(tmp_path: Path) -> None:
    for name, value in (("b", 9), ("a", 7)):
        (tmp_path / name / "deeper").mkdir(parents=True)
        Image.new("L", (2, 2), value).save(tmp_path / name / "deeper" / "x.png")
    found = samples.load(tmp_path, preprocess.parse("none"), grey=True)
    assert [(int(x.max()), int(y)) for x, y in found] == [(7, 0), (9, 1)]
    Image.new("L", (2, 2)).save(tmp_path / "loose.png")
    with pytest.raises(InputError, match="holds pictures itself"):
        samples.load(tmp_path, preprocess.parse("none"))


def test_more_than_8_bits_are_refused(tmp_path: Path) -> None:
    Image.fromarray(np.full((2, 2), 40_000, np.uint16)).save(tmp_path / "x.png")
    with pytest.raises(InputError, match="over 8 bits"):
        samples.load(tmp_path, preprocess.parse("unit"))[0]


def test_arrays(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (6, 5, 4)).astype(np.uint8)
    write_idx(tmp_path / "train-images-idx3-ubyte.gz", pixels)
    write_idx(tmp_path / "train-labels-idx1-ubyte", np.arange(6))
    np.savez(tmp_path / "x.npz", images=pixels, labels=np.arange(6))
    for path in (tmp_path, tmp_path / "x.npz"):
        found = samples.load(path, preprocess.parse("unit"))
        sample, label = found[3]
        assert int(label) == 3
        torch.testing.assert_close(sample, torch.from_numpy(pixels[3:4]).float() / 255)
    np.save(tmp_path / "x.npy", pixels.astype(np.float64))
    with pytest.raises(InputError, match="these are floats"):
        samples.load(tmp_path / "x.npy", preprocess.parse("unit"))
    torch.testing.assert_close(samples.load(tmp_path / "x.npy")[3], torch.from_numpy(pixels[3]).float())


@pytest.mark.parametrize(
    "header", ["{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }}", "{(", "{'a':"]
)
def test_a_damaged_header_is_told(tmp_path: Path, header: str) -> None:
    text = header.ljust(117).encode() + b"\n"
    (tmp_path / "x.npy").write_bytes(b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text)
    with pytest.raises(InputError, match="cannot be read"):
        samples.load(tmp_path / "x.npy")


def test_some_are_of_all_classes(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", x=np.zeros((100, 2), np.float32), y=np.repeat(np.arange(4), 25))
    (batch,) = samples.load(tmp_path / "x.npz").some(24, 32)
    assert len(batch[0]) == 24
    assert set(batch[1].tolist()) == {0, 1, 2, 3}
