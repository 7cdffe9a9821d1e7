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
from tests.sim.networks import small_network


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
    published = json.loads(Path("docs/network.schema.json").read_text())
    assert published == artifact.json_schema(), "run: make schema"


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


@pytest.mark.parametrize(("tensor", "value", "message"), [
    ("a.mask_codes", np.full((1, 4, 3, 3, 1), 6, np.uint16), "mask code = 6.*6 legal masks"),
    ("a.assignments", np.full((1, 4, 3, 3), 5, np.uint16), "assignments = 5.*k = 5"),
    ("fc.weight", np.full((3, 4, 1, 1), np.nan, np.float32), "fc.weight.*NaN"),
    ("fc.weight", np.zeros((3, 4, 1, 1), np.float32), "fc.weight.*must be int8"),
    ("stem.bias", np.zeros(3, np.int32), "stem.bias"),
    ("a.codebook", np.zeros(4, np.int8), r"a\.codebook = \[4\].*\[k, d\]"),
])
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
