"""Results as files: what was saved is loaded, differences are found, other versions are refused."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest

from sim import accelerator
from sim.errors import InputError
from sim.estimate import Estimate, estimate
from sim.saved import Change, Loaded, load
from sim.workloads import workload


@pytest.fixture(scope="module")
def found() -> Estimate:
    return estimate(workload("resnet20"), accelerator.preset("ews-cms-16"))


def test_a_result_and_its_file_are_equal(found: Estimate, tmp_path: Path) -> None:
    found.save(tmp_path / "a.json")
    again = load(tmp_path / "a.json")
    assert again.verb == "estimate"
    assert found.diff(again) == again.diff(found) == []
    again.save(tmp_path / "b.json")
    assert (tmp_path / "a.json").read_text() == (tmp_path / "b.json").read_text()


def test_what_changes_is_named_to_the_leaf() -> None:
    before = {
        "cycles": 3,
        "layers": [{"name": "a", "energy_pj": {"mac": 1.0}}, {"name": "a", "cycles": 1}],
        "x": None,
    }
    after: dict[str, Any] = json.loads(json.dumps(before)) | {"x": 2, "y": ["p", "q"]}
    after["layers"][0]["energy_pj"]["mac"] = 1.5
    after["layers"][1]["cycles"] = 4
    assert Loaded("v", before).diff(Loaded("v", after)) == [
        Change(("layers", "a", "energy_pj", "mac"), 1.0, 1.5),
        Change(("layers", "a#2", "cycles"), 1, 4),
        Change(("x",), None, 2),
        Change(("y",), None, "p, q"),
    ]
    assert Change(("x",), None, 2).difference is None
    assert Change(("x",), 5, 2).difference == -3


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ('{"verb": "estimate", "schema": 2}', ("schema 2", "reads 1", "again")),
        ('{"verb": "estimate"}', ("schema None",)),
        ('{"schema": 1}', ("names no verb", "--output")),
        ("[1]", ("no result",)),
        ("{", ("not JSON",)),
        ("[" * 100_000, ("not JSON",)),
        ("\xff", ("not JSON",)),
    ],
)
def test_other_files(tmp_path: Path, text: str, parts: tuple[str, ...]) -> None:
    (tmp_path / "x.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError) as caught:
        load(tmp_path / "x.json")
    for part in ("x.json", *parts):
        assert part in str(caught.value)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        load(tmp_path / "x.json")


def test_a_full_disk_leaves_the_result_of_before(
    found: Estimate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "a.json"
    found.save(file)
    before = file.read_text()

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(file))

    monkeypatch.setattr(os, "fdopen", full)
    with pytest.raises(OSError, match="No space left"):
        found.save(file)
    assert file.read_text() == before
    assert os.listdir(tmp_path) == ["a.json"]
