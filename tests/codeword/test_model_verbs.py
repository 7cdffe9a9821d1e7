"""`quantize` and `compress` of a user's own module and data, on the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.ao.quantization.fx._decomposed  # declares the operators of PT2E
from PIL import Image
from torch import nn

from codeword import models
from sim import artifact
from sim.network import CodebookWeight, Conv, run
from tests.codeword.conftest import Command
from tests.codeword.test_bad_input import assert_refused
from tests.sim.importers.test_importers_onnx import node, save

MODULE = """
import torch
from torch import nn

def conv(a, b):
    return nn.Sequential(nn.Conv2d(a, b, 3, 2, 1), nn.BatchNorm2d(b), nn.ReLU())

def net():
    torch.manual_seed(0)
    return nn.Sequential(conv(3, 16), conv(16, 16), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 2))

def loud():
    print("built")
    return net()

def needs(width, depth=2):
    return None

def number():
    return 7

def raises():
    raise RuntimeError("no weights here")

made, constant = net(), 7
"""
PREPARED = ("--preprocess", "0.5,0.25/16")


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module in the current folder, under a name that no other test imports."""
    name = f"mine_{abs(hash(tmp_path))}"
    (tmp_path / f"{name}.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    return name


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Eight of two classes, and of different sizes."""
    generator = np.random.default_rng(0)
    for number in range(8):
        kind = tmp_path / "pictures" / ("dark", "bright")[number % 2]
        kind.mkdir(parents=True, exist_ok=True)
        pixels = generator.integers(0, 128, (20, 24 + number, 3)) + 127 * (number % 2)
        Image.fromarray(pixels.astype(np.uint8)).save(kind / f"{number}.png")
    return tmp_path / "pictures"


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)
    )
    torch.export.save(torch.export.export(module.eval(), (torch.randn(1, 3, 8, 8),)), tmp_path / "net.pt2")
    return tmp_path / "net.pt2"


def test_a_function_of_the_current_folder(
    codeword: Command, mine: str, pictures: Path, tmp_path: Path
) -> None:
    file = tmp_path / "net.safetensors"
    result = codeword("quantize", f"{mine}:loud", "--data", pictures, *PREPARED, "-o", file, "--json")
    assert result.status == 0, result.err
    assert "built" in result.err  # and not within the JSON
    fields = json.loads(result.out)
    net = artifact.load(file)
    assert (net.name, fields["layers"], fields["input"]["shape"]) == ("loud", len(net.layers), [3, 16, 16])
    assert fields["input"]["scale"] == net.input.scale
    assert min(tensor["correlation"] for tensor in fields["tensors"]) > 0.999
    from algos import sources
    from algos.data import preprocess, samples

    real = samples.load(pictures, preprocess.parse("0.5,0.25/16"))[0][0]
    expected = sources.function(f"{mine}:made")(real[None]).detach().numpy()
    found = run(net, net.input.quantize(real[None].numpy()))[net.layers[-1].name].reshape(-1)
    assert np.corrcoef(found, expected.reshape(-1))[0, 1] > 0.99
    assert codeword("estimate", file, "-a", "ews-16").status == 0
    table = codeword("quantize", f"{mine}:net", "--data", pictures, *PREPARED, "-o", file, "--symmetric").out
    assert "SQNR alone" in table
    assert artifact.load(file).input.zero_point == 0


def test_compress_with_labels_trains(codeword: Command, mine: str, pictures: Path, tmp_path: Path) -> None:
    file = tmp_path / "net.safetensors"
    given = ("compress", f"{mine}:net", "--data", pictures, *PREPARED, "-o", file, "-k", 4)
    result = codeword(*given, "--epochs", 2, "--json")
    assert result.status == 0, result.err
    fields = json.loads(result.out)
    assert (fields["fine_tuning_epochs"], fields["network"]) == (2, "net-mvq")
    assert 0 <= fields["agreement"] <= 1
    assert 0 <= fields["accuracy"] <= 1
    assert fields["compression_ratio"] > 8
    assert "epoch 2" in result.err
    assert coded(file) == ["1.0"]
    assert codeword("simulate", file, "-a", "ews-cms-16").status == 0
    assert codeword(*given, "--epochs", 0, "--include", "0.0").status == 0
    assert coded(file) == ["0.0"]
    assert_refused(codeword(*given, "--exclude", "*"), "none can be compressed")


def coded(file: Path) -> list[str]:
    layers = artifact.load(file).layers
    return [one.name for one in layers if isinstance(one, Conv) and isinstance(one.weight, CodebookWeight)]


def test_compress_without_labels_says_so(
    codeword: Command, mine: str, pictures: Path, tmp_path: Path
) -> None:
    given = (
        "compress",
        f"{mine}:net",
        "--data",
        pictures / "dark",
        *PREPARED,
        "-k",
        4,
        "-o",
        tmp_path / "n.safetensors",
    )
    result = codeword(*given, "--json")
    assert "no labels: nothing is trained" in result.err
    assert (result.status, json.loads(result.out)["fine_tuning_epochs"]) == (0, 0)
    assert_refused(codeword(*given, "--epochs", 3), "--epochs = 3", "no labels", "a folder a class")


def test_an_exported_program(codeword: Command, exported: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", x=np.random.default_rng(0).normal(size=(20, 3, 8, 8)).astype(np.float32))
    result = codeword("quantize", exported, "--data", tmp_path / "x.npz", "-o", tmp_path / "q.safetensors")
    assert result.status == 0, result.err
    assert len(artifact.load(tmp_path / "q.safetensors").layers) == 3
    refused = codeword("compress", exported, "--data", tmp_path / "x.npz", "-o", tmp_path / "q.safetensors")
    assert_refused(refused, "no layers to train", "package.module:function")


def test_integers_stay_as_they_are(codeword: Command, tmp_path: Path) -> None:
    class Sum(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            operators, limits = torch.ops.quantized_decomposed, (-128, 127, torch.int8)
            for scale, zero in ((0.05, 3), (0.02, -7)):
                x = operators.quantize_per_tensor(x, scale, zero, *limits)
                x = torch.relu(operators.dequantize_per_tensor(x, scale, zero, *limits))
            return x

    file = tmp_path / "q.safetensors"
    torch.export.save(torch.export.export(Sum(), (torch.randn(1, 3, 4, 4),)), tmp_path / "sum.pt2")
    result = codeword("quantize", tmp_path / "sum.pt2", "-o", file)
    assert result.status == 0, result.err
    spec = artifact.load(file).input
    assert spec.scale == pytest.approx(0.05)
    assert spec.zero_point == 3
    path = save(tmp_path / "float.onnx", [node("Conv", "x w", "c")], {"w": (4, 3, 1, 1)})
    assert_refused(codeword("quantize", path, "-o", file), "a float network", "quantize_static", "module")


def test_a_name_needs_no_data(codeword: Command, tmp_path: Path) -> None:
    file = tmp_path / "q.safetensors"
    result = codeword("quantize", "resnet20-fashion", "--calibration", 32, "--observer", "minmax", "-o", file)
    assert result.status == 0, result.err
    assert artifact.load(file).input.scale == pytest.approx(models.PIXELS[0])


@pytest.mark.parametrize(
    ("model", "told"),
    [
        ("nowhere_at_all:net", ["no module nowhere_at_all", "install it"]),
        ("MINE:nett", ["has no nett", "net"]),
        ("MINE:needs", ["needs arguments: width", "without any"]),
        ("MINE:number", ["returns int, no nn.Module"]),
        ("MINE:constant", ["is int, no function"]),
        ("MINE:raises", ["RuntimeError: no weights here"]),
        ("MINE.py:net", ["there is no module MINE.py", "install it"]),
        ("a b:net", ["is no name of a function"]),
        ("resnet99", ["unknown", "package.module:function"]),
        ("none.pt2", ["no such file"]),
        ("bad.pt2", ["cannot be loaded", "torch.export.save"]),
        ("weights.pth", ["unknown", "package.module:function"]),
    ],
)
def test_models_that_are_none(
    codeword: Command, mine: str, pictures: Path, tmp_path: Path, model: str, told: list[str]
) -> None:
    (tmp_path / "bad.pt2").write_bytes(b"PK\3\4 and no more")
    given = ("--data", pictures, *PREPARED, "-o", tmp_path / "q.safetensors")
    told = [part.replace("MINE", mine) for part in told]
    assert_refused(codeword("quantize", model.replace("MINE", mine), *given), "model = ", *told)


def _damage(folder: Path) -> dict[str, list[Any]]:
    """Data and other options that are refused, and a part of what is said."""
    (folder / "empty").mkdir()
    (folder / "half").mkdir()
    content = (folder / "pictures" / "dark" / "0.png").read_bytes()
    (folder / "half" / "cut.png").write_bytes(content[:300])
    np.save(folder / "ints.npy", np.zeros((4, 3, 16, 16), np.int32))
    np.save(folder / "narrow.npy", np.zeros((4, 1, 16, 16), np.float32))
    np.savez(folder / "names.npz", a=np.zeros(3), b=np.zeros(3))
    np.savez(folder / "labels.npz", x=np.zeros((4, 3, 16, 16), np.float32), y=np.arange(3))
    (folder / "bad.npz").write_bytes(b"PK\3\4")
    return {
        "empty": ["holds no sample"],
        "half": ["cut.png", "cannot be read"],
        "missing": ["is not there", ".npz"],
        "ints.npy": ["int32[4, 3, 16, 16]", "holds no samples"],
        "narrow.npy": ["[1, 16, 16]", "does not take samples of this size", "--grey"],
        "names.npz": ["holds a, b", "images and labels"],
        "labels.npz": ["labels = 3", "for 4 samples"],
        "bad.npz": ["bad.npz", "cannot be read"],
    }


def test_data_that_is_none(codeword: Command, mine: str, pictures: Path, tmp_path: Path) -> None:
    given = (f"{mine}:made", "-o", tmp_path / "q.safetensors")
    for name, told in _damage(tmp_path).items():
        form = () if name.endswith((".npy", ".npz")) else PREPARED
        for verb in ("quantize", "compress"):
            assert_refused(codeword(verb, *given, "--data", tmp_path / name, *form), *told)
    with_pictures = ("quantize", *given, "--data", pictures)
    refusals: list[tuple[tuple[str, ...], str]] = [
        ((), "holds bytes"),
        (("--preprocess", "unit"), "give --preprocess a size"),
        (("--preprocess", "imagnet"), "imagenet, unit, none or MEAN,STD"),
        (("--preprocess", "unit/0"), "SIZE is not from 1"),
        (("--preprocess", "0.5,0"), "positive deviations"),
        (("--preprocess", "1:2,3:4/16"), "2 means for 3 channels"),
        (("--preprocess", "unit/16", "--grey"), "[1, 16, 16]"),
        ((*PREPARED, "--observer", "mean"), "observer = 'mean'"),
    ]
    for options, part in refusals:
        assert_refused(codeword(*with_pictures, *options), part)
    assert_refused(codeword("quantize", *given), "--data", "activations need samples")
    refused = codeword("compress", "resnet20-fashion", "-o", tmp_path / "q.safetensors", "--include", "*")
    assert_refused(refused, "--include", "one of our own networks")


def test_what_fits_no_training_or_no_sample(codeword: Command, mine: str, tmp_path: Path) -> None:
    x, file = np.zeros((4, 3, 16, 16), np.float32), tmp_path / "q.safetensors"
    np.savez(tmp_path / "x.npz", x=x, y=np.array([0, 1, 2, 1]))
    refused = codeword("compress", f"{mine}:made", "--data", tmp_path / "x.npz", "-k", 4, "-o", file)
    assert_refused(refused, "labels = 2", "2 classes")
    program = torch.export.export(nn.Conv2d(3, 4, 3).eval(), (torch.randn(8, 3, 16, 16),))
    torch.export.save(program, tmp_path / "eight.pt2")
    refused = codeword("quantize", tmp_path / "eight.pt2", "--data", tmp_path / "x.npz", "-o", file)
    assert_refused(refused, "takes batches of 8 alone", "torch.export.Dim")
