"""Bad input: exit status 2, nothing on stdout, and one line that names field, value and fix."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from tests.codeword.conftest import Command, Result
from tests.sim.artifact.test_artifact import edit


def assert_refused(result: Result, *parts: str) -> None:
    assert result.status == 2
    assert result.out == ""
    assert result.err.startswith("codeword: ")
    assert result.err.count("\n") == 1
    assert "Fix: " in result.err
    for part in parts:
        assert part in result.err


@pytest.mark.parametrize("verb", ["estimate", "simulate"])
def test_wrong_schema_version(codeword: Command, network: Path, verb: str) -> None:
    edit(network, header=lambda fields: fields.update(schema_version=7))
    assert_refused(codeword(verb, network, "-a", "ews-cms-16"), "schema_version = 7", "reads 1")


def test_truncated_file(codeword: Command, network: Path) -> None:
    network.write_bytes(network.read_bytes()[:-100])
    assert_refused(codeword("estimate", network, "-a", "ews-cms-16"), str(network), "truncated")


@pytest.mark.parametrize(
    ("tensor", "value", "parts"),
    [
        ("a.mask_codes", np.full((1, 16, 3, 3, 1), 1820, np.uint16), ("mask code = 1820", "0..1819")),
        ("b.assignments", np.full((1, 16, 3, 3), 5, np.uint16), ("assignments = 5", "k = 5", "0..4")),
        ("fc.weight", np.full((3, 16, 1, 1), np.nan, np.float32), ("fc.weight", "NaN")),
    ],
)
def test_damaged_tensors(
    codeword: Command, network: Path, tensor: str, value: np.ndarray, parts: tuple[str, ...]
) -> None:
    edit(network, tensors={tensor: value})
    assert_refused(codeword("estimate", network, "-a", "ews-cms-16"), *parts)


@pytest.mark.parametrize(
    ("accelerator", "settings", "parts"),
    [
        ("ews-cmz-64", [], ("'ews-cmz-64'", "'ews-cm'")),
        ("ews-cms", [], ("ews-cms-64",)),
        ("ews-257", [], ("rows = 257", "4 to 256")),
        ("ews-16", ["wrf_dpth=8"], ("wrf_dpth", "'wrf_depth'")),
        ("ews-16", ["wrf_depth=0"], ("wrf_depth = 0",)),
        ("ews-16", ["wrf_depth=deep"], ("wrf_depth = 'deep'",)),
        ("ews-16", ["extension=[4, 4, 2]"], ("extension = (4, 4, 2)", "A*B*D = 32", "<= 16")),
        ("ews-16", ["wrf_depth"], ("write --set field=value",)),
        ("ews-cms-16", ["wrf_depth=3"], ("wrf_depth = 3", "4 sub-records", "wrf_depth >= 4")),
        ("ews-16", ["technology='mvq41'"], ("technology = 'mvq41'", "'mvq40'")),
        ("none.toml", [], ("none.toml", "No such file")),
    ],
)
def test_accelerators(
    codeword: Command, accelerator: str, settings: list[str], parts: tuple[str, ...]
) -> None:
    options = [word for setting in settings for word in ("--set", setting)]
    assert_refused(codeword("estimate", "resnet18", "-a", accelerator, *options), *parts)


def test_networks(codeword: Command, tmp_path: Path) -> None:
    assert_refused(codeword("estimate", "resnet19", "-a", "ews-16"), "'resnet19'", "'resnet18'")
    assert_refused(codeword("estimate", "net.xyz", "-a", "ews-16"), "net.xyz", ".safetensors")
    assert_refused(codeword("simulate", "resnet18", "-a", "ews-16"), "no weights")
    missing = tmp_path / "none.safetensors"
    assert_refused(codeword("estimate", missing, "-a", "ews-16"), "none.safetensors")


def test_a_machine_that_cannot_run_the_file(codeword: Command, network: Path) -> None:
    assert_refused(codeword("simulate", network, "-a", "ews-c-16"), "a.weight = 'mvq 4:16'", "runs vq")
    longer = ("--set", "codeword_length=32", "--set", "tile_columns=32")
    assert_refused(
        codeword("simulate", network, "-a", "ews-cms-32", *longer), "a.d = 16", "codeword_length is 32"
    )
    assert_refused(
        codeword("simulate", network, "-a", "ews-cms-16", "--set", "keep=8"), "a.weight = 'mvq 4:16'", "8:16"
    )


@pytest.mark.parametrize(
    ("images", "parts"),
    [
        (np.zeros((1, 1, 5, 6), np.int8), ("[1, 1, 5, 6]", "[1, 6, 6]")),
        (np.zeros((1, 1, 6, 6), np.int32), ("int32", "int8")),
        (np.full((1, 1, 6, 6), np.nan), ("float64", "NaN")),
    ],
)
def test_images(
    codeword: Command, network: Path, tmp_path: Path, images: np.ndarray, parts: tuple[str, ...]
) -> None:
    np.save(tmp_path / "x.npy", images)
    assert_refused(
        codeword("simulate", network, "-a", "ews-cms-16", "--input", tmp_path / "x.npy"), "--input", *parts
    )
    (tmp_path / "y.npy").write_text(json.dumps([1]))
    assert_refused(
        codeword("simulate", network, "-a", "ews-cms-16", "--input", tmp_path / "y.npy"), "--input", ".npy"
    )


def test_objective(codeword: Command) -> None:
    assert_refused(
        codeword("estimate", "resnet18", "-a", "ews-16", "--objective", "beauty"),
        "objective = 'beauty'",
        "edp",
    )


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """The smallest ResNet, untrained."""
    from algos import checkpoint
    from algos.models.resnet import ResNet

    path = tmp_path / "model.safetensors"
    checkpoint.save(ResNet(depth=8), path)
    return path


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (["-d", "12", "--pattern", "4:12"], ("16", "d = 12", "pad")),
        (["--pattern", "5:3"], ("5:3",)),
        (["--pattern", "half"], ("--pattern = 'half'", "4:16")),
        (["-k", "1"], ("k = 1",)),
        (["--method", "vq", "-d", "0"], ("d = 0",)),
        (["--method", "mvk"], ("codeword: method = 'mvk'", "'mvq'")),
        (
            ["--method", "ssvq", "--pattern", "4:16"],
            ("--pattern = '4:16'", "no option of ssvq", "ssvq has --alpha, "),
        ),
        (["--method", "vq4all", "--epochs", "0"], ("codeword: epochs = 0",)),
        (["--method", "vim-vq"], ("method = 'vim-vq'", "Vim and DeiT", "not ResNet")),
        (
            ["--method", "vim-vq", "--epochs", "2"],
            ("--epochs = '2'", "no option of vim-vq", "vim-vq has --axis, "),
        ),
        (["--epochs", "-1"], ("codeword: epochs = -1",)),
        (["--case", "E"], ("case = 'E'", "A, B, C, D")),
        (["--method", "vq4all", "--forced=half"], ("--forced = 'half'", "0.5,0.9")),
        (["--data", "nowhere"], ("nowhere", "idx3")),
    ],
)
def test_compress(
    codeword: Command, checkpoint: Path, tmp_path: Path, options: list[str], parts: tuple[str, ...]
) -> None:
    output = tmp_path / "out.safetensors"
    assert_refused(codeword("compress", checkpoint, "-o", output, *options), *parts)
    assert not output.exists()


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (["--pad"], ("--pad = 'vim-fashion'", "-d")),
        (["--method", "vim-vq", "-d", 0], ("d = 0", "use 8")),
        (["--method", "vim-vq", "-k", 2], ("k = 2", "use 3")),
        (["--method", "mvq", "--epochs", 0], ("d = 16", "24 output channels")),
        (["--method", "vim-vq", "-d", 16], ("d = 16", "24 output channels")),
    ],
)
def test_compress_vim(
    codeword: Command, tmp_path: Path, options: list[object], parts: tuple[str, ...]
) -> None:
    output = tmp_path / "out.safetensors"
    assert_refused(codeword("compress", "vim-fashion", "-o", output, *options), *parts)
    assert not output.exists()


def test_compress_nan_weight(codeword: Command, checkpoint: Path, tmp_path: Path) -> None:
    with safe_open(checkpoint, framework="numpy") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    tensors["blocks.0.conv1.weight"][3, 2, 1, 0] = np.nan
    save_file(tensors, checkpoint)
    assert_refused(
        codeword("compress", checkpoint, "-o", tmp_path / "out.safetensors"), "blocks.0.conv1", "nan"
    )


def test_compress_missing_model(codeword: Command, tmp_path: Path) -> None:
    assert_refused(
        codeword("compress", tmp_path / "none.safetensors", "-o", tmp_path / "x.safetensors"),
        "none.safetensors",
    )


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (["--layer", "join"], ("join", "convolution")),
        (["--layer", "aa"], ("'aa'", "'a'")),
        (["--simulator", "vcs"], ("simulator = 'vcs'",)),
    ],
)
def test_verify(codeword: Command, network: Path, options: list[str], parts: tuple[str, ...]) -> None:
    assert_refused(codeword("verify", "-a", "ews-cms-16", "--network", network, *options), *parts)


def test_a_missing_extra_says_what_to_install(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['amaranth'] = None; "
        f"sys.argv = ['codeword', 'verilog', '-a', 'ews-8', '-o', {str(tmp_path / 'rtl')!r}]; "
        "from codeword.cli import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert_refused(
        Result(done.returncode, done.stdout, done.stderr), "'amaranth'", "pip install 'codeword[rtl]'"
    )


def test_an_error_says_in_which_file_and_layer(codeword: Command, network: Path) -> None:
    edit(network, tensors={"a.shift": np.empty(0, np.uint8)})
    result = codeword("estimate", network, "-a", "ews-cms-16")
    assert_refused(result, f"{network}: a.shift = [0]", "has no element")
    edit(network, tensors={"a.shift": np.full(16, 48, np.uint8)})
    assert_refused(codeword("estimate", network, "-a", "ews-cms-16"), f"{network}: a.shift = ", "1 to 47")


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        (lambda h: h["layers"][0].update(stride=[True, 1]), ("stem.stride.0 = True", "valid integer")),
        (lambda h: h["layers"][0].update(stride=["1", 1]), ("stem.stride.0 = '1'", "valid integer")),
        (lambda h: h["layers"][0].update(stride=[1, 2**25]), ("stem.stride.1 = 33554432", "16777216")),
        (lambda h: h.update(layers=[]), ("layers = []", "computes nothing")),
        (lambda h: h.update(name="a\nb"), (r"network name = 'a\nb'", "ends a line")),
        (lambda h: h.update(metadata={"synthetic": True}), ("metadata.weights = None", "write a text")),
        (lambda h: h.update(metadata={"synthetic": "yes"}), ("metadata.synthetic = 'yes'", "true or false")),
        (lambda h: h["input"].update(scale="1"), ("input.scale = '1'", "valid number")),
    ],
)
def test_headers(codeword: Command, network: Path, change: Any, parts: tuple[str, ...]) -> None:
    edit(network, header=change)
    assert_refused(codeword("estimate", network, "-a", "ews-cms-16"), str(network), *parts)


def test_a_header_nested_deeply(codeword: Command, network: Path) -> None:
    save_file({}, network, {"codeword": "[" * 100_000})
    assert_refused(codeword("estimate", network, "-a", "ews-cms-16"), str(network), "nested too deeply")


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        (b'name = "\xff"', ("not UTF-8 at byte 8",)),
        (b"base = 5", ("m.toml: base = 5", "is no name")),
        (b'base = "ews-cmz-4"', ("m.toml: accelerator", "'ews-cm'")),
        (b'base = "ews-4"\nclock_hz = true', ("m.toml: clock_hz = True", "valid number")),
        (b'base = "ews-4"\nrows = "4"', ("m.toml: rows = '4'", "valid integer")),
        (b'base = "ews-4"\nedge_registers = "yes"', ("m.toml: edge_registers = 'yes'", "boolean")),
        (b'base = "ews-4"\nwrf_depth = 1000000', ("wrf_depth = 1000000", "1024")),
        (b'base = "ews-4"\nname = "x\\ninitial $finish;"', (r"name = 'x\ninitial $finish;'", "ends a line")),
        (b"a = " + b"[" * 100_000, ("not TOML",)),
        (b"rows = " + b"9" * 5000, ("not TOML",)),
    ],
)
def test_descriptions(codeword: Command, tmp_path: Path, text: bytes, parts: tuple[str, ...]) -> None:
    (tmp_path / "m.toml").write_bytes(text)
    assert_refused(codeword("estimate", "resnet20", "-a", tmp_path / "m.toml"), "m.toml", *parts)


def test_what_verilog_cannot_bear_is_refused_there_alone(codeword: Command, tmp_path: Path) -> None:
    (tmp_path / "m.toml").write_text('base = "ews-4"\nname = "моя [red] */"', encoding="utf-8")
    estimated = codeword("estimate", "resnet20", "-a", tmp_path / "m.toml")
    assert estimated.status == 0
    assert "моя [red] */" in estimated.out
    for verb in (("verilog", "-o", tmp_path / "rtl"), ("verify",)):
        assert_refused(codeword(*verb, "-a", tmp_path / "m.toml"), "name = 'моя [red] */'", "ASCII")
    assert not (tmp_path / "rtl").exists()


def test_names_are_printed_as_they_are(codeword: Command, tmp_path: Path) -> None:
    names = ["[red]a[/red]", "x[/b]", ":smile:", "网络 слой", "a, b", "n" * 150]
    head = "Layer name,IFMAP Height,IFMAP Width,Filter Height,Filter Width,Channels,Num Filter,Strides,\n"
    lines = "".join(f'"{name}",8,8,3,3,4,4,1,\n' for name in names)
    (tmp_path / "net.csv").write_text(head + lines, encoding="utf-8")
    result = codeword("estimate", tmp_path / "net.csv", "-a", "ews-4", "--all")
    assert result.status == 0
    for name in names:
        assert f" {name} " in result.out


@pytest.mark.parametrize("where", ["--technology", "the description"])
def test_an_error_about_a_technology_blames_it(codeword: Command, tmp_path: Path, where: str) -> None:
    table = tmp_path / "t.toml"
    table.write_text('kind = "published"\nmore = 1\n')
    (tmp_path / "m.toml").write_text(f'base = "ews-4"\ntechnology = "{table}"\n')
    options = ["ews-4", where, table] if where.startswith("--") else [tmp_path / "m.toml"]
    result = codeword("estimate", "resnet20", "-a", *options)
    assert_refused(result, "codeword: t.toml: ")
    assert "sim/technology" not in result.err


def test_a_layer_of_no_network(codeword: Command) -> None:
    assert_refused(codeword("verify", "-a", "ews-4", "--layer", "a"), "--layer = 'a'", "--network")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(28, "No space left on device", "x.npy"), "No space left on device: 'x.npy'"),
        (MemoryError("Unable to allocate 8 TiB"), "out of memory (Unable to allocate 8 TiB)"),
        (RecursionError(), "nested too deeply"),
    ],
)
def test_what_goes_wrong_around_us_is_told_in_one_place(
    codeword: Command, monkeypatch: pytest.MonkeyPatch, error: Exception, words: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("codeword.api.estimate", fail)
    assert_refused(codeword("estimate", "resnet20", "-a", "ews-4"), words)


def test_archives_and_empty_files_are_no_images(codeword: Command, network: Path, tmp_path: Path) -> None:
    file = tmp_path / "x.npy"
    options = ("simulate", network, "-a", "ews-cms-16", "--input", file)
    with file.open("wb") as stream:
        np.savez(stream, np.zeros((1, 1, 6, 6), np.int8))
    assert_refused(codeword(*options), "is no .npy file")
    file.write_bytes(b"\x93NUMPY\1\0\4\0{{{{")
    assert_refused(codeword(*options), "cannot be read")
    np.save(file, np.zeros((0, 1, 6, 6), np.int8))
    assert_refused(codeword(*options), "holds no image")


@pytest.mark.parametrize(
    ("tensors", "metadata"),
    [
        ({"blocks.x.conv1.weight": (1,), "conv.weight": (16, 1, 3, 3)}, {}),
        ({"blocks.2.conv1.weight": (1,), "conv.weight": ()}, {}),
        ({"blocks.2.conv1.weight": (1,), "conv.weight": (16, 1, 3, 3)}, {}),
        ({"blocks.2.conv1.assignments": (3,), "codebook": (3,), "conv.weight": (16, 1, 3, 3)}, {}),
        (
            {"blocks.2.conv1.assignments": (3,), "codebook": (3, 4), "conv.weight": (16, 1, 3, 3)},
            {"pattern": "x"},
        ),
    ],
)
def test_compress_other_tensors(
    codeword: Command, tmp_path: Path, tensors: dict[str, tuple[int, ...]], metadata: dict[str, str]
) -> None:
    file = tmp_path / "model.safetensors"
    save_file({name: np.zeros(shape, np.float32) for name, shape in tensors.items()}, file, metadata)
    assert_refused(
        codeword("compress", file, "-o", tmp_path / "out.safetensors"), "model.safetensors", "ResNet"
    )


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("content", [b"", b"abc", b"\0\0\x08\xff"])
def test_compress_other_data(codeword: Command, tmp_path: Path, suffix: str, content: bytes) -> None:
    for split in ("train", "t10k"):
        for what in ("images-idx3", "labels-idx1"):
            (tmp_path / f"{split}-{what}-ubyte{suffix}").write_bytes(content)
    options = ("-o", tmp_path / "out.safetensors", "--data", tmp_path)
    assert_refused(codeword("compress", "resnet20-fashion", *options), "train-images-idx3-ubyte")


def test_verify_what_is_no_text(codeword: Command, tmp_path: Path) -> None:
    (tmp_path / "a.v").write_bytes(b"\xff\0")
    assert_refused(codeword("verify", "-a", "ews-4", "--rtl", tmp_path), "rtl = ", "no text")


@pytest.mark.parametrize("figures", ["", "junk", "[]", "{}"])
def test_a_report_on_other_figures(codeword: Command, tmp_path: Path, figures: str) -> None:
    (tmp_path / "x.json").write_text(figures)
    options = ("--stage", "text", "--out", tmp_path / "x.json")
    assert_refused(codeword("report", "vq4all", *options), "x.json", "run the stage")


@pytest.mark.parametrize("figure", ["tops_per_watt", "cycles", "network"])
def test_a_result_without_a_figure_is_not_compared(codeword: Command, tmp_path: Path, figure: str) -> None:
    codeword("estimate", "resnet20", "-a", "ews-16", "--output", str(tmp_path / "a.json"))
    fields = json.loads((tmp_path / "a.json").read_text())
    del fields[figure]
    (tmp_path / "a.json").write_text(json.dumps(fields))
    assert_refused(codeword("compare", *[str(tmp_path / "a.json")] * 2), f"does not say {figure}")


def test_of_many_names_some_are_listed(codeword: Command) -> None:
    result = codeword("quantize", "os:мережа", "--data", "shapes", "-o", "x.safetensors")
    assert_refused(result, "others")
    assert len(result.err) < 1500
