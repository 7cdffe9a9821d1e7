"""As test_fuzz, of what `quantize` takes: names of functions, exported programs, pictures, arrays, preprocessing."""

from __future__ import annotations

import io
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import settings
from hypothesis import strategies as st
from PIL import Image
from torch import nn

from tests.codeword.damage import bent, image_file
from tests.codeword.test_fuzz import QUICK, assert_told, call, kind

few = partial(kind, quick=settings(QUICK, max_examples=20))

MODULE = """
from torch import nn
made, seven = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()), 7
def needs(x): return made
def fails(): raise KeyError
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    where = tmp_path_factory.mktemp("fuzz_models")
    (where / "fuzzed.py").write_text(MODULE)
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()).eval()
    torch.export.save(torch.export.export(module, (torch.randn(1, 3, 6, 6),)), where / "good.pt2")
    np.save(where / "good.npy", np.random.default_rng(0).normal(size=(4, 3, 6, 6)).astype(np.float32))
    (where / "pictures").mkdir()
    pixels = np.arange(108, dtype=np.uint8).reshape(6, 6, 3)
    Image.fromarray(pixels).save(where / "pictures" / "a.png")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(where)
        yield where


def quantize(model: object, *options: object) -> None:
    assert_told(call("quantize", model, "-o", "out.safetensors", *options))


def test_what_is_damaged_is_good_before(folder: Path) -> None:
    for options in (("good.npy",), ("pictures", "--preprocess", "unit")):
        for model in ("fuzzed:made", "good.pt2"):
            assert call("quantize", model, "-o", "out.safetensors", "--data", *options).status == 0


@few
def test_names_of_functions(folder: Path, data: st.DataObject) -> None:
    part = st.sampled_from(
        ["fuzzed", "made", "seven", "needs", "fails", "os", "__name__", "", ".", ":", "мережа"]
    )
    name = ":".join(data.draw(st.lists(part | st.text(max_size=8), min_size=1, max_size=3)))
    if "fuzzed:made" not in name and not name.startswith("-"):
        quantize(name, "--data", "good.npy")


@few
def test_programs(folder: Path, data: st.DataObject) -> None:
    file = folder / "bent.pt2"
    content = bent(data, (folder / "good.pt2").read_bytes())
    if content != (folder / "good.pt2").read_bytes():
        file.write_bytes(content)
        quantize(file, "--data", data.draw(st.sampled_from(["missing", "good.pt2"])))


@few
def test_pictures(folder: Path, data: st.DataObject) -> None:
    within = folder / "odd"
    within.mkdir(exist_ok=True)
    for file in within.iterdir():
        file.unlink()
    for number in range(data.draw(st.integers(0, 2))):
        content = image_file(data)
        name = data.draw(st.sampled_from(["a.png", "[red].jpg", "картина.webp", "b.tif", "c.txt"]))
        (within / f"{number}{name}").write_bytes(content if data.draw(st.booleans()) else bent(data, content))
    form = data.draw(
        st.sampled_from(["unit/3", "imagenet/9", "none", "0:1,1:1/4"])
    )  # too small for the network, or grey
    quantize("fuzzed:seven" if form == "none" else "fuzzed:made", "--data", within, "--preprocess", form)


@few
def test_arrays(folder: Path, data: st.DataObject) -> None:
    shape = data.draw(st.sampled_from([(2, 3, 2, 2), (0, 3, 6, 6), (), (3,), (2, 6, 6), (2, 1, 1, 3, 6, 6)]))
    values = np.zeros(
        shape, data.draw(st.sampled_from(["i1", "u1", "i8", "f2", "f4", "f8", "?", "c8", "S3", "V2"]))
    )
    content, file = io.BytesIO(), folder / data.draw(st.sampled_from(["x.npz", "x.npy"]))
    match data.draw(st.sampled_from(["save", "x", "more", "pickle"])):
        case "save":
            np.save(content, values)
        case "x":
            np.savez(content, x=values, y=values)
        case "more":
            np.savez(content, a=values, b=values)
        case "pickle":
            np.savez(content, x=np.array([{}, None]), allow_pickle=True)
    file.write_bytes(content.getvalue() if data.draw(st.booleans()) else bent(data, content.getvalue()))
    form = data.draw(st.sampled_from([(), ("--preprocess", "unit"), ("--preprocess", "0.5,0.5/2")]))
    quantize("fuzzed:made", "--data", file, *form)


@few
def test_preprocessing(folder: Path, data: st.DataObject) -> None:
    number = st.sampled_from(
        ["0", "0.5", "-1", "nan", "inf", "1e999", "9" * 400, "", "x", "²", "0.1:0.2", "unit"]
    )
    form = ",".join(data.draw(st.lists(number, max_size=3))) + data.draw(
        st.sampled_from(["", "/", "/2", "/-1", "/²", "//"])
    )
    quantize("fuzzed:made", "--data", "pictures", f"--preprocess={form}")
