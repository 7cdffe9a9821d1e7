"""Networks inside installed packages: whose they are, which are the same, what a run multiplied."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from codeword.reports.imports.published import FOLDER, counted, published
from tests.sim.importers.test_importers_onnx import node, save


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """One network in a package of each registry, and a copy of one of them."""
    root = tmp_path / FOLDER
    for folder in ("first", "first-1.2.dist-info", "node_modules/@some/second/dist"):
        (root / folder).mkdir(parents=True)
    save(root / "first" / "net.onnx", [node("Conv", "x w", "y")], {"w": (4, 3, 1, 1)})
    copy = root / "node_modules" / "@some" / "second" / "copy.onnx"
    copy.write_bytes((root / "first" / "net.onnx").read_bytes())
    asked = root / "node_modules" / "@some" / "second" / "dist" / "rec.onnx"
    save(asked, [node("Conv", "x w", "y")], {"w": (8, 3, 1, 1)}, dims=(1, 3, 48, "wide"))
    info = root / "first-1.2.dist-info"
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: first\nVersion: 1.2\n")
    (info / "RECORD").write_text("first/net.onnx,,\nfirst-1.2.dist-info/METADATA,,\n")
    described = {"name": "@some/second", "version": "3.4"}
    (copy.parent / "package.json").write_text(json.dumps(described))
    (asked.parent / "package.json").write_text(json.dumps({"type": "module"}))
    return tmp_path


def test_networks_by_their_packages(work: Path) -> None:
    found = list(published(work))
    assert [one.name for one in found] == [
        "first 1.2: first/net.onnx",
        "@some/second 3.4: @some/second/dist/rec.onnx",
    ]
    assert [one.imported() for one in found] == [8 * 8 * 4 * 3, 48 * 640 // 2 * 8 * 3]


def event(operator: str, inputs: list[list[int]], output: list[int], name: str = "a_kernel_time") -> Any:
    shapes = {"input_type_shape": [{"float": extent} for extent in inputs]}
    return {"name": name, "args": {"op_name": operator, **shapes, "output_type_shape": [{"float": output}]}}


@pytest.mark.parametrize(
    ("operator", "inputs", "output", "macs"),
    [
        ("Conv", [[1, 4, 8, 8], [6, 2, 3, 3]], [1, 6, 4, 4], 6 * 2 * 9 * 4 * 4),
        ("ConvTranspose", [[1, 4, 5, 5], [4, 6, 2, 2]], [1, 6, 10, 10], 4 * 6 * 4 * 25),
        ("ConvTranspose", [[1, 4, 5, 5], [4, 6, 3, 3]], [1, 6, 9, 9], 4 * 6 * 9 * 81),
        ("MatMul", [[2, 3, 7], [7, 5]], [2, 3, 5], 2 * 3 * 7 * 5),
        ("Gemm", [[7, 3], [7, 5], [5]], [3, 5], 3 * 7 * 5),
        ("LSTM", [[9, 1, 6], [2, 28, 6], [2, 28, 7]], [9, 2, 1, 7], 9 * 2 * 28 * (6 + 7)),
        ("Relu", [[1, 4]], [1, 4], 0),
    ],
)
def test_products_of_a_run(operator: str, inputs: list[list[int]], output: list[int], macs: int) -> None:
    ran = event(operator, inputs, output)
    assert counted([ran, event(operator, inputs, output, "a_fence_before"), ran]) == 2 * macs
