"""Whatever lies in a file or stands in an option: exit status 0, 1 or 2, and with 2 one line that says what to do.

The kinds of bad input, each with examples of its own:

* network files: random, cut and flipped bytes; headers that are no JSON, nested deeply, or with a field removed,
  added, doubled or replaced (`JUNK`: other types, numbers out of all bounds, names with markup, line ends and
  surrogates); tensors missing, empty, of another type, shape or with extreme values
* descriptions of accelerators, as TOML and as `--set`: likewise, and fields of the wrong type, a bad base, Latin-1
* coefficients of a technology: likewise
* images: .npy files of any type and shape, damaged headers, archives and pickles under that name
* SCALE-Sim topologies: any cells, separators and encodings
* what `quantize` takes: see test_fuzz_models
* options: any text in the place of names, numbers and files to write
"""

from __future__ import annotations

import io
import json
import sys
import tomllib
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from safetensors.numpy import save as to_bytes

from codeword import cli
from sim import artifact, technology
from sim.accelerator import Accelerator
from sim.network import Conv, DenseWeight, Layer
from tests.codeword.conftest import Result
from tests.codeword.damage import JUNK, JUNK_JSON, as_document, as_json, bent, damaged, toml
from tests.sim.network.kinds import every_layer

TIMES = settings(
    deadline=None,
    phases=[Phase.explicit, Phase.generate],  # a failing example is printed as it is: shrinking takes minutes
    suppress_health_check=list(HealthCheck),
    database=None,
)
QUICK, LONG = settings(TIMES, max_examples=80, derandomize=True), settings(TIMES, max_examples=1000)
"""Of each kind; those of `make test` are the same every time."""


def call(*arguments: object) -> Result:
    """The command in this process."""
    out, err, status, before = io.StringIO(), io.StringIO(), 0, sys.argv
    sys.argv = ["codeword", *map(str, arguments)]
    try:
        with redirect_stdout(out), redirect_stderr(err):
            cli.main()
    except SystemExit as stop:
        status = int(stop.code or 0)
    finally:
        sys.argv = before
    return Result(status, out.getvalue(), err.getvalue())


def assert_told(result: Result) -> None:
    """Done, a check that failed, or one line about the input; of options that Click refuses, its usage."""
    assert result.status in (0, 1, 2), result
    assert "Traceback" not in result.err
    if result.status == 2 and not result.err.startswith("Usage: "):
        assert result.out == ""
        *notes, said = result.err.splitlines()
        assert said.startswith("codeword: "), result.err
        assert "Fix: " in said
        assert len(said) < 3000
        assert not notes or "MACs" in notes[0], (
            result.err
        )  # what an import found before the machine refused it


def kind(examples: Callable[..., None], quick: settings = QUICK) -> Callable[..., None]:
    """A property in two tests: few examples for `make test`, many for `make test-all`."""

    @pytest.mark.parametrize("many", [False, pytest.param(True, marks=pytest.mark.slow)])
    def test(folder: Path, many: bool) -> None:
        (LONG if many else quick)(given(st.data())(lambda data: examples(folder, data)))()

    test.__doc__ = examples.__doc__
    return test


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    where = tmp_path_factory.mktemp("fuzz")
    every = every_layer(0)
    artifact.save(every, where / "every.safetensors")  # of three formats, which no machine runs together
    artifact.save(replace(every, layers=tuple(map(_plain, every.layers))), where / "good.safetensors")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(where)
        yield where


def _plain(layer: Layer) -> Layer:
    """A layer whose weight is dense, or has a codebook and nothing beside it."""
    if isinstance(layer, Conv) and layer.weight.format not in ("dense", "vq"):
        return replace(layer, weight=DenseWeight(layer.weight.decode()))
    return layer


def test_what_is_damaged_is_good_before(folder: Path) -> None:
    for verb in ("estimate", "simulate"):
        assert call(verb, folder / "good.safetensors", "-a", "ews-c-4").status == 0
    for name in technology.NAMES:
        file = folder / f"same as {name}.toml"
        file.write_text(
            as_document(tomllib.loads((Path(technology.__file__).parent / f"{name}.toml").read_text()))
        )
        same = call("estimate", "resnet20", "-a", "ews-4", "--technology", file, "--json")
        kept = call("estimate", "resnet20", "-a", "ews-4", "--technology", name, "--json")
        assert (same.status, json.loads(same.out)["energy_pj"]) == (0, json.loads(kept.out)["energy_pj"])


@kind
def test_bytes_of_a_network(folder: Path, data: st.DataObject) -> None:
    file = folder / "bytes.safetensors"
    file.write_bytes(bent(data, (folder / "good.safetensors").read_bytes()))
    assert_told(call("estimate", file, "-a", "ews-c-4"))


def _network(folder: Path, data: st.DataObject) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    name = data.draw(st.sampled_from(["good", "every"]))
    metadata, tensors = artifact._read(folder / f"{name}.safetensors", "network")
    return json.loads(metadata["codeword"]), tensors


@kind
def test_headers_of_networks(folder: Path, data: st.DataObject) -> None:
    header, tensors = _network(folder, data)
    text = as_json(damaged(data, header, JUNK_JSON))
    text = data.draw(st.sampled_from([text] * 20 + ["[" * 100_000, "{", "7", "", text[:-1], "null"]))
    file = folder / "header.safetensors"
    file.write_bytes(to_bytes(tensors, {"codeword": text}))
    verb = data.draw(st.sampled_from(["estimate", "estimate", "simulate"]))
    assert_told(call(verb, file, "-a", data.draw(st.sampled_from(["ews-4", "ews-c-4", "ews-c-4"]))))


@kind
def test_tensors_of_networks(folder: Path, data: st.DataObject) -> None:
    header, tensors = _network(folder, data)
    for _ in range(data.draw(st.sampled_from([1, 1, 2]))):
        name = data.draw(st.sampled_from(sorted(tensors)))
        tensor = tensors[name]
        match data.draw(st.sampled_from(["type", "shape", "empty", "gone", "low", "high", "flat"])):
            case "type":
                kinds = [np.int8, np.uint8, np.int64, np.float32, np.float16, np.bool_]
                with np.errstate(all="ignore"):
                    tensors[name] = tensor.astype(data.draw(st.sampled_from(kinds)))
            case "shape":
                tensors[name] = np.ascontiguousarray(tensor[:-1])
            case "empty":
                tensors[name] = np.empty([0, *tensor.shape[1:]], tensor.dtype)
            case "gone" if len(tensors) > 1:
                del tensors[name]
            case "low":
                tensors[name] = np.full_like(
                    tensor, np.iinfo(tensor.dtype).min if tensor.dtype.kind in "iu" else 0
                )
            case "high" if tensor.dtype.kind in "iu":
                tensors[name] = np.full_like(tensor, np.iinfo(tensor.dtype).max)
            case _:
                tensors[name] = np.ascontiguousarray(tensor.reshape(-1))
    file = folder / "tensors.safetensors"
    file.write_bytes(to_bytes(tensors, {"codeword": json.dumps(header)}))
    assert_told(call(data.draw(st.sampled_from(["estimate", "simulate"])), file, "-a", "ews-c-4"))


@kind
def test_descriptions_of_accelerators(folder: Path, data: st.DataObject) -> None:
    fields: dict[str, Any] = {"base": data.draw(st.sampled_from(["ews-4", "ews-cms-16", "rom-8", "ssvq-16"]))}
    for _ in range(data.draw(st.integers(1, 3))):
        name = data.draw(st.sampled_from([*Accelerator.model_fields, "base", "loader", "self", "a\nb", ""]))
        fields[name] = data.draw(st.sampled_from(JUNK))
    text = as_document(fields).encode()
    file = folder / data.draw(st.sampled_from(["machine.toml", "[red].toml", "машина.toml"]))
    file.write_bytes(text if data.draw(st.integers(0, 4)) else bent(data, text))
    extra = ["--json"] if data.draw(st.booleans()) else []
    assert_told(call("estimate", "resnet20", "-a", file, *extra))


@kind
def test_settings(folder: Path, data: st.DataObject) -> None:
    field = data.draw(st.sampled_from([*Accelerator.model_fields, "", "wrf", "a b"]))
    value = data.draw(st.sampled_from(JUNK).map(toml) | st.text(max_size=20).filter(_argument))
    assert_told(call("estimate", "resnet20", "-a", "ews-cms-16", "--set", f"{field}={value}"))


@kind
def test_coefficients(folder: Path, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(technology.NAMES))
    content = (Path(technology.__file__).parent / f"{name}.toml").read_bytes()
    if data.draw(st.integers(0, 4)):
        content = as_document(damaged(data, tomllib.loads(content.decode()), JUNK)).encode()
    else:
        content = bent(data, content)
    file = folder / f"{data.draw(st.integers())}.toml"  # they are read once
    file.write_bytes(content)
    result = call("estimate", "resnet20", "-a", "ews-cms-16", "--technology", file, "--json")
    assert_told(result)
    assert result.status == 0 or file.name in result.err
    file.unlink()


@kind
def test_images(folder: Path, data: st.DataObject) -> None:
    shape = data.draw(st.sampled_from([(1, 2, 6, 5), (2, 6, 5), (0, 2, 6, 5), (), (3,), (1, 2, 5, 6)]))
    kinds = ["i1", "u1", "i8", "f2", "f4", "f8", "?", "c8", "S3", "M8[s]", "V2", ">f4"]
    values = np.zeros(shape, data.draw(st.sampled_from(kinds)))
    if values.dtype.kind == "f":
        values[...] = data.draw(st.sampled_from([0, np.nan, np.inf, -6e4]))
    content = io.BytesIO()
    match data.draw(st.sampled_from(["save"] * 4 + ["savez", "pickle"])):
        case "save":
            np.save(content, values)
        case "savez":
            np.savez(content, values)
        case "pickle":
            np.save(content, np.array([{}, None]), allow_pickle=True)
    file = folder / "images.npy"
    file.write_bytes(content.getvalue() if data.draw(st.booleans()) else bent(data, content.getvalue()))
    assert_told(call("simulate", folder / "good.safetensors", "-a", "ews-c-4", "--input", file))


@kind
def test_topologies(folder: Path, data: st.DataObject) -> None:
    head = "Layer name,IFMAP Height,IFMAP Width,Filter Height,Filter Width,Channels,Num Filter,Strides,"
    if data.draw(st.booleans()):
        head = "Layer,M,N,K,"
    cell = st.sampled_from(
        ["1", "3", "8", "64", "0", "-1", "1e9", str(2**70), "9" * 5000, "x", "", '"', "nan", "٣"]
    )
    name = st.sampled_from(["a", "[red]", "x[/b]", "网络", '"a\nb"', '"a,b"', "a\x1b[0m", "", "#", "DP"])
    lines = [
        ",".join([data.draw(name), *data.draw(st.lists(cell, min_size=3, max_size=8))])
        for _ in range(data.draw(st.integers(0, 3)))
    ]
    text = data.draw(st.sampled_from(["\n", "\r\n"])).join([head, *lines])
    coded = text.encode(data.draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16"])))
    file = folder / "layers.csv"
    file.write_bytes(coded if data.draw(st.integers(0, 4)) else bent(data, coded))
    assert_told(call("estimate", file, "-a", "ews-cms-16"))


def _argument(text: str) -> bool:
    """What a shell can pass."""
    return "\0" not in text and text.isprintable()


@kind
def test_options(folder: Path, data: st.DataObject) -> None:
    text = st.text(max_size=12).filter(_argument) | st.sampled_from(
        [text for part in JUNK if _argument(text := toml(part)[:300])]
        + ["nan,nan", "0.5,0.1", "1e400", "mvq40@5"]
    )
    (folder / "a folder.npy").mkdir(exist_ok=True)
    place = st.sampled_from(
        ["x", "y.npy", "z.csv", ".", "", "missing/x.npy", "a folder.npy", "/dev/full", "good.safetensors"]
    )
    good = str(folder / "good.safetensors")
    estimate = ["estimate", data.draw(st.just("resnet20") | text), "-a", data.draw(st.just("ews-4") | text)]
    simulate = ["simulate", good, "-a", "ews-c-4", "-o", data.draw(place)]
    options = data.draw(
        st.sampled_from(
            [
                [*estimate, "--objective", data.draw(text)],
                [*estimate, "--zeros", data.draw(text)],
                [*estimate, "--technology", data.draw(text)],
                [*estimate, "--dram", data.draw(text)],
                [*estimate, "--treat-as-vector", data.draw(text)],
                [*estimate, data.draw(text)],
                [*simulate, "--seed", data.draw(text)],
                [*simulate, "--objective", data.draw(text)],
                [*simulate, "--input", data.draw(text)],
                [
                    "simulate",
                    good,
                    "-a",
                    "ews-c-4",
                    "--images",
                    data.draw(st.sampled_from(["0", "-1", "x", "9" * 30])),
                ],
                ["verify", "-a", "ews-c-4", "--layer", data.draw(text)],
                ["verify", "-a", "ews-c-4", "--network", good, "--layer", data.draw(text.filter(bool))],
                [
                    "verilog",
                    "-a",
                    "ews-4",
                    "-o",
                    data.draw(st.sampled_from(["missing/x", "good.safetensors"])),
                ],
                ["report", data.draw(text), "--stage", data.draw(text)],
                ["report", "scaling", "--out", data.draw(place.filter(bool))],
                [data.draw(text)],
            ]
        )
    )
    assert_told(call(*options))
