"""The network file: round trip, sharing, and every kind of damage."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from sim import artifact, network
from sim.errors import InputError
from tests.sim.network.kinds import every_layer
from tests.sim.network.networks import random_images, small_network


def edit(path: Path, header=None, tensors=None) -> None:
    """Rewrites a file with a changed header or changed tensors."""
    with safe_open(path, framework="numpy") as file:
        fields = json.loads(file.metadata()["codeword"])
        values = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    if header:
        header(fields)
    save_file(values | (tensors or {}), path, {"codeword": json.dumps(fields)})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    target = tmp_path / "net.safetensors"
    artifact.save(small_network(), target)
    return target


def test_round_trip_computes_the_same(path: Path) -> None:
    original, read = small_network(), artifact.load(path)
    rng = np.random.default_rng(1)
    images = rng.integers(-128, 128, (2, *original.input.shape)).astype(np.int8)
    expected, got = network.run(original, images), network.run(read, images)
    assert expected.keys() == got.keys()
    for name in expected:
        np.testing.assert_array_equal(expected[name], got[name])
    assert read.metadata == original.metadata
    assert read.input == original.input


def codebook_file(folder: Path) -> Path:
    (found,) = folder.glob("*.codebook.safetensors")
    return found


@pytest.mark.parametrize("seed", range(3))
def test_round_trip_of_every_kind_of_layer(tmp_path: Path, seed: int) -> None:
    original, path = every_layer(seed, universal=True), tmp_path / "every.safetensors"
    artifact.save(original, path)
    read = artifact.load(path)
    images = random_images(original, seed)
    expected, got = network.run(original, images), network.run(read, images)
    for name in expected:
        np.testing.assert_array_equal(expected[name], got[name])
    assert read.shapes == original.shapes
    assert [layer.zero_point for layer in read.layers] == [layer.zero_point for layer in original.layers]
    again = tmp_path / "again.safetensors"
    artifact.save(read, again)
    assert again.read_bytes() == path.read_bytes()


def test_a_universal_codebook_lies_beside_the_networks_once(tmp_path: Path) -> None:
    net = every_layer(0, universal=True)
    for name in ("one", "two"):
        artifact.save(net, tmp_path / f"{name}.safetensors")
    beside = codebook_file(tmp_path)
    with safe_open(beside, framework="numpy") as file:
        np.testing.assert_array_equal(file.get_tensor("codebook"), net["fc"].weight.codebook)
    with safe_open(tmp_path / "one.safetensors", framework="numpy") as file:
        assert "fc.codebook" not in file.keys()  # noqa: SIM118
    assert artifact.load(tmp_path / "two.safetensors")["fc"].weight.universal


def test_universal_codebooks_missing_different_or_damaged(tmp_path: Path) -> None:
    net, path = every_layer(0, universal=True), tmp_path / "net.safetensors"
    artifact.save(net, path)
    beside = codebook_file(tmp_path)
    whole = beside.read_bytes()
    other = net["fc"].weight.codebook.copy()
    other[0, 0] ^= 1
    save_file({"codebook": other}, beside)
    with pytest.raises(InputError, match=r"universal codebook = .*is not the one with SHA-256"):
        artifact.load(path)
    beside.write_bytes(whole[:-1])
    with pytest.raises(InputError, match=r"universal codebook = .*truncated"):
        artifact.load(path)
    artifact.save(net, path)  # repairs it
    assert beside.read_bytes() == whole
    beside.unlink()
    with pytest.raises(InputError, match=r"universal codebook = .*No such file.*beside the network"):
        artifact.load(path)


def test_the_shipped_network_loads_and_is_written_as_it_was(tmp_path: Path) -> None:
    """Fields that later versions added appear only where they are used."""
    shipped = Path("algos/zoo/resnet20_fashion/network.safetensors")
    artifact.save(artifact.load(shipped), tmp_path / "same.safetensors")
    assert (tmp_path / "same.safetensors").read_bytes() == shipped.read_bytes()


def test_equal_networks_give_equal_bytes_and_leave_no_scraps(path: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.safetensors"
    artifact.save(artifact.load(path), again)
    assert again.read_bytes() == path.read_bytes()
    assert {p.name for p in tmp_path.iterdir()} == {"net.safetensors", "again.safetensors"}


def test_a_shared_codebook_is_stored_once(path: Path) -> None:
    with safe_open(path, framework="numpy") as file:
        codebooks = [name for name in file.keys() if name.endswith(".codebook")]  # noqa: SIM118
    assert codebooks == ["a.codebook"]


def test_published_schema_is_current() -> None:
    published = Path("docs/network.schema.json").read_text()
    assert published == json.dumps(artifact.json_schema(), indent=2) + "\n", "run: make schema"


def test_wrong_version(path: Path) -> None:
    edit(path, header=lambda fields: fields.update(schema_version=99))
    with pytest.raises(InputError, match=r"schema_version = 99.*reads 1"):
        artifact.load(path)


@pytest.mark.parametrize("keep", [0, 4, 200, -1])
def test_truncated(path: Path, keep: int) -> None:
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InputError, match="truncated"):
        artifact.load(path)


def test_missing_file_and_foreign_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        artifact.load(tmp_path / "none.safetensors")
    save_file({"x": np.zeros(1, np.int8)}, tmp_path / "foreign.safetensors")
    with pytest.raises(InputError, match="without a Codeword header"):
        artifact.load(tmp_path / "foreign.safetensors")


@pytest.mark.parametrize(
    ("tensor", "value", "message"),
    [
        ("a.mask_codes", np.full((1, 4, 3, 3, 1), 6, np.uint16), "mask code = 6.*6 legal masks"),
        ("a.assignments", np.full((1, 4, 3, 3), 5, np.uint16), "assignments = 5.*k = 5"),
        ("fc.weight", np.full((3, 4, 1, 1), np.nan, np.float32), "fc.weight.*NaN"),
        ("fc.weight", np.zeros((3, 4, 1, 1), np.float32), "fc.weight.*must be int8"),
        ("stem.bias", np.zeros(3, np.int32), "stem.bias"),
        ("a.codebook", np.zeros(4, np.int8), r"a\.codebook = \[4\].*\[k, d\]"),
    ],
)
def test_damaged_tensors(path: Path, tensor: str, value: np.ndarray, message: str) -> None:
    edit(path, tensors={tensor: value})
    with pytest.raises(InputError, match=message):
        artifact.load(path)


def test_damaged_header(path: Path) -> None:
    edit(path, header=lambda fields: fields["layers"][0].update(stride=[0, 1]))
    with pytest.raises(InputError, match=r"stride\.0 = 0"):
        artifact.load(path)
    edit(path, header=lambda fields: fields["input"].update(scale=float("nan")))
    with pytest.raises(InputError):
        artifact.load(path)


def layer_fields(fields: dict, name: str) -> dict:
    return next(layer for layer in fields["layers"] if layer["name"] == name)


@pytest.mark.parametrize(
    ("layer", "change", "message"),
    [
        ("depthwise", {"groups": 3}, r"depthwise\.groups = 3: does not divide 4"),
        ("depthwise", {"groups": 2}, r"depthwise\.weight = .*4 channels in 2 groups"),
        ("depthwise", {"dilation": [0, 1]}, r"dilation\.0 = 0"),
        ("depthwise", {"dilation": [9, 1]}, r"depthwise\.kernel = .*larger than the padded ifmap"),
        ("max", {"mode": "median"}, "mode = 'median'"),
        ("max", {"padding": [2, 0]}, r"max\.padding = .*more than half the kernel"),
        ("max", {"zero_point": 1}, r"max\.zero_point = 1.*no value changes"),
        ("max", {"kernel": [40, 40]}, r"max\.kernel = .*larger"),
        ("average", {"shift": 48}, "shift = 48"),
        ("both", {"multipliers": [1]}, r"both\.multipliers = .*2 inputs"),
        ("both", {"axis": 3}, "axis = 3"),
        ("keys", {"axis": 0}, r"scores\.inputs"),
        ("up", {"factor": [0, 1]}, r"factor\.0 = 0"),
        ("tokens", {"to": [3, 5, 7]}, r"tokens\.to = .*has not the"),
        ("scores", {"heads": 3}, r"scores\.heads = 3: does not divide"),
        ("scores", {"inputs": ["stem", "stem"]}, r"scores\.inputs = .*W = 1"),
        ("weights", {"groups": 5}, r"weights\.groups = 5"),
        ("norm", {"epsilon": 0}, "epsilon = 0"),
        ("norm", {"low": 3, "high": 2}, r"norm\.clamp = \(3, 2\)"),
        ("scaled", {"inputs": ["up", "stem"]}, r"scaled\.inputs"),
        ("scan", {"inputs": ["mixed", "delta", "inward", "mixed"]}, r"scan\.inputs = .*\(3, L, 1\) twice"),
        ("scan", {"step_shift": 0}, "step_shift = 0"),
        ("fc", {"input": "nothing"}, r"fc\.input = 'nothing'"),
        ("rms", {"unknown": 1}, r"unknown = 1"),
    ],
)
def test_bad_fields_of_each_kind(tmp_path: Path, layer: str, change: dict, message: str) -> None:
    path = tmp_path / "net.safetensors"
    artifact.save(every_layer(), path)
    edit(path, header=lambda fields: layer_fields(fields, layer).update(change))
    with pytest.raises(InputError, match=message):
        artifact.load(path)


@pytest.mark.parametrize(
    ("tensor", "value", "message"),
    [
        ("stem.table", np.zeros(255, np.int8), r"table = 'int8\[255\]'"),
        ("excite.table", np.zeros(256, np.uint8), r"excite\.table.*must be int8"),
        ("weights.table", np.zeros(256, np.uint16), r"weights\.table = 0.*must be positive"),
        ("norm.gain", np.zeros(7, np.int16), r"norm\.bias"),
        ("norm.bias", np.zeros(8, np.int16), r"norm\.bias.*must be int32"),
        ("scan.decay", np.zeros((8, 65), np.uint16), r"scan\.decay = 65"),
        ("scan.skip", np.zeros(7, np.int32), r"scan\.skip"),
        ("grouped.signs", np.full((1, 2, 1, 1), 16, np.uint16), "signs = 16: has bits beyond d = 4"),
        ("grouped.signs", np.zeros((1, 2, 1), np.uint16), "signs = "),
        ("grouped.signs", np.zeros((1, 2, 1, 1), np.int32), "must be uint16 or uint32"),
        ("grouped.codebook", np.full((6, 4), -1, np.int8), "codebook = -1: holds magnitudes"),
    ],
)
def test_bad_tensors_of_each_kind(tmp_path: Path, tensor: str, value: np.ndarray, message: str) -> None:
    path = tmp_path / "net.safetensors"
    artifact.save(every_layer(), path)
    edit(path, tensors={tensor: value})
    with pytest.raises(InputError, match=message):
        artifact.load(path)
