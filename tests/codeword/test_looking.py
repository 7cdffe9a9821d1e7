"""Verbs that look: presets, networks, explain, doctor, compare, diff; and the options of all that print."""

from __future__ import annotations

import csv
import errno
import io
import json
import os
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

import codeword as package
from codeword import api, glossary, health
from codeword.rendering import SUFFIXES
from sim import accelerator
from sim.systolic.results import CAUSES, MEMORIES
from tests.codeword.conftest import Command
from tests.codeword.test_bad_input import assert_refused


def test_version(codeword: Command) -> None:
    result = codeword("--version")
    assert (result.status, result.out) == (0, f"codeword {package.__version__}\n")


def test_every_verb_is_a_function_too(codeword: Command) -> None:
    verbs = set(re.findall(r"^│ (\w+)  ", codeword("--help").out, re.MULTILINE))
    assert {"compare", "diff", "doctor", "explain", "estimate", "synth"} <= verbs
    assert verbs - {"report"} == set(package.__all__) - {"load"}
    for name in package.__all__:
        assert callable(getattr(package, name))


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("comp", {"compress", "compile", "compare"}),
        ("estimate mobilenet_", {"mobilenet_v2"}),
        ("simulate x -a rom", {"rom-64"}),
    ],
)
def test_the_shell_completes(words: str, offered: set[str]) -> None:
    told = {"_CODEWORD_COMPLETE": "complete_bash", "COMP_WORDS": f"codeword {words}"}
    told["COMP_CWORD"] = str(len(words.split()))
    call, environment = command(**told)
    done = subprocess.run(call, env=environment, capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == offered


def test_the_page_of_the_command_line_has_every_verb_and_option(codeword: Command) -> None:
    page = (Path(__file__).parents[2] / "docs" / "cli.md").read_text()
    for verb in re.findall(r"^│ (\w+)  ", codeword("--help").out, re.MULTILINE):
        assert f"`{verb}`" in page
    panel = codeword("estimate", "--help").out.partition("What is shown")[2]
    options = re.findall(r"(--[a-z]+)", panel)
    assert len(options) >= 5
    for option in options:
        assert f"`{option}" in page


def test_presets(codeword: Command) -> None:
    fields = json.loads(codeword("presets", "--size", 16, "--json").out)["presets"]
    assert set(fields) == {f"{family}-16" for family in accelerator.families()}
    assert fields["ews-cms-16"] == json.loads(accelerator.preset("ews-cms-16").model_dump_json())
    one = codeword("presets", "ews-16x32").out
    for field in type(accelerator.preset("ews-16")).model_fields:
        assert field == "kind" or f"  {field} " in one
    assert_refused(codeword("presets", "ews"), "size missing")


def test_networks(codeword: Command) -> None:
    listed = {one["name"]: one for one in json.loads(codeword("networks", "--json").out)["networks"]}
    assert listed["resnet18"]["macs"] == 1_814_073_344
    assert listed["resnet20-fashion"]["values"]
    assert "mobilenet_v2" in listed["mobilenet-v2"]["others"]
    for name in ("mobilenet_v2", "mobilenetv2_100", "mobilenetv2_100.ra_in1k"):
        assert api.estimate(name, "ws-8").cost.macs == listed["mobilenet-v2"]["macs"]
    assert api.estimate("resnet18.a1_in1k", "ws-8").cost.macs == listed["resnet18"]["macs"]
    assert_refused(codeword("estimate", "resnet18.onnx", "-a", "ws-8"), "resnet18.onnx")
    assert_refused(codeword("estimate", "resnet18.pt", "-a", "ws-8"), ".pt files cannot be read")


@pytest.mark.parametrize(
    "word", [*CAUSES, *MEMORIES, "mac", "tops_per_watt", "psum row", "CODEBOOK", "zero-point"]
)
def test_every_word_is_explained(word: str) -> None:
    assert all(entry.meaning for entry in api.explain(word))


def test_every_figure_of_an_estimate_and_every_field_is_explained() -> None:
    fields = api.estimate("resnet20", "ews-cms-16", technology="sg13g2").to_json()
    words = {*fields, *fields["energy_pj"], *fields["area_mm2"], *fields["stall_cycles"]}
    words |= {
        *fields["layers"][0],
        *fields["layers"][0]["schedule"],
        *accelerator.preset("ews-16").model_dump(),
    }
    for word in words - {"kind"}:
        assert api.explain(word)


def test_explain_has_unit_formula_and_source(codeword: Command) -> None:
    (entry,) = json.loads(codeword("explain", "TOPS", "--json").out)["entries"]
    assert (entry["is"], entry["unit"]) == ("2 macs / time_s, dense-equivalent", "10^12 op/s")
    assert entry["from"] == "sim/cost.py"
    sections = {
        entry["section"] for entry in json.loads(codeword("explain", "dram", "--json").out)["entries"]
    }
    assert {"Cycles by cause", "Energy", "Accesses"} < sections
    out = codeword("explain", "l1_bytes").out
    assert "1024 to 4294967296" in out
    assert "`" not in out


def test_explain_of_a_near_miss(codeword: Command) -> None:
    assert_refused(codeword("explain", "stors"), "word = 'stors'", "store")
    assert_refused(codeword("explain", "qqqq"), "docs/glossary.md")
    assert_refused(codeword("explain", ""), "word = ''")


def test_the_package_holds_the_page_itself() -> None:
    page = Path(__file__).parents[2] / "docs" / glossary.PAGE
    assert (Path(package.__file__).parent / glossary.PAGE).read_text() == page.read_text()


def test_doctor_names_what_is_missing_and_what_is_old(
    codeword: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    fields = json.loads(codeword("doctor", "--json").out)
    assert fields["well"]
    assert {"numpy", "torch", "amaranth", "icarus", "cores"} <= {one["name"] for one in fields["findings"]}

    def version(name: str) -> str:
        if name == "torch":
            raise metadata.PackageNotFoundError(name)
        return {"numpy": "1.26", "numba": "0.70"}.get(name, metadata.distribution(name).version)

    monkeypatch.setattr("importlib.metadata.version", version)
    result = codeword("doctor")
    assert result.status == 1  # NumPy is what everything needs
    assert "1.26, wanted >=2.0" in result.out
    assert "pip install 'codeword[algos]'" in result.out


@pytest.mark.parametrize(
    ("version", "bounds", "well"),
    [
        ("2.0", ">=2.0", True),
        ("2.10.1", ">=2.9", True),
        ("1.9", ">=1.10", False),
        ("0.5.10", "==0.5.10", True),
        ("0.5.11", "==0.5.10", False),
        ("3", ">=2.8", True),
        ("2.13.0+cpu", ">=2.6", True),
        ("1", "", True),
    ],
)
def test_versions_within_bounds(version: str, bounds: str, well: bool) -> None:
    assert health._within(version, bounds) is well


def test_compare_machines_networks_and_files(codeword: Command, tmp_path: Path) -> None:
    file = tmp_path / "before.json"
    assert codeword("estimate", "resnet20", "-a", "ews-16", "-o", file).status == 0
    result = codeword("compare", "resnet20", file, "-a", "ws-16", "-a", "ews-cms-16", "--format", "csv")
    rows = {row["run"]: row for row in csv.DictReader(io.StringIO(result.out))}
    assert list(rows) == ["ws-16", "ews-cms-16", "ews-16"]
    for name, row in rows.items():
        own = api.estimate("resnet20", name)
        assert int(row["cycles"]) == own.cost.cycles
        assert float(row["energy_total_pj"]) == own.cost.total_pj
        assert int(row["cycles_weight"]) == own.cost.stall_cycles["weight"]
        assert sum(int(row[f"cycles_{cause}"]) for cause in CAUSES) == own.cost.cycles
    both = codeword("compare", "resnet20", "alexnet", "-a", "ws-16", "-a", "ews-16", "--only", "causes").out
    assert "resnet20, ws-16" in both
    weight = api.estimate("alexnet", "ews-16").cost.stall_cycles["weight"]
    weight -= api.estimate("alexnet", "ws-16").cost.stall_cycles["weight"]
    (line,) = [line for line in both.splitlines() if line.startswith("  weight ")]
    assert line.endswith(f" {weight:+,}")


def test_a_comparison_shows_itself() -> None:
    found = package.compare(["resnet20"], ["ws-16", "ews-16"])
    assert repr(found) == "<Comparison of ws-16; ews-16>"
    assert found._repr_html_().count("<table>") == 4
    assert f"{found.runs['ews-16'].to_json()['cycles']:,}" in found._repr_html_()


def test_compare_of_nothing(codeword: Command, tmp_path: Path) -> None:
    assert_refused(codeword("compare", "resnet20", "-a", "ws-16"), "runs = 1")
    assert_refused(codeword("compare", "resnet20", "alexnet"), "runs on no accelerator", "-a")
    (tmp_path / "x.json").write_text('{"verb": "estimate", "schema": 99}')
    assert_refused(codeword("compare", "resnet20", tmp_path / "x.json", "-a", "ws-16"), "x.json", "schema 99")
    (tmp_path / "x.json").write_text('{"verb": "verify", "schema": 1}')
    assert_refused(codeword("compare", tmp_path / "x.json", tmp_path / "x.json"), "verify", "diff")


def test_diff(codeword: Command, tmp_path: Path) -> None:
    a, b = tmp_path / "a.json", tmp_path / "b.json"
    package.estimate("resnet20", "ews-cms-16").save(a)
    codeword("estimate", "resnet20", "-a", "ews-cms-16", "--set", "l1_bytes=65536", "-o", b)
    assert "equal in every figure" in codeword("diff", a, a).out
    changes: list[dict[str, Any]] = json.loads(codeword("diff", a, b, "--json").out)["changes"]
    by_path = {tuple(one["path"]): one for one in changes}
    assert by_path["area_mm2", "l1"]["after"] == pytest.approx(by_path["area_mm2", "l1"]["before"] / 2)
    shown = codeword("diff", a, b).out
    assert shown.index("Sums") < shown.index("Cycles by cause") < shown.index("Layers")
    assert "--all shows them" in shown
    assert "--all" not in codeword("diff", a, b, "--all").out
    rows = codeword("diff", a, b, "--format", "csv").out.splitlines()
    assert len(rows) == 1 + len(changes)
    b.write_text('{"verb": "synth", "schema": 1}')
    assert_refused(codeword("diff", a, b), "'synth'", "is no estimate")


def test_every_form_to_files_and_to_stdout(codeword: Command, tmp_path: Path) -> None:
    verb = ("estimate", "resnet20", "-a", "ews-16")
    files = [tmp_path / f"x{suffix}" for suffix in SUFFIXES]
    result = codeword(*verb, *(word for file in files for word in ("-o", file)), "--format", "markdown")
    assert "| cycles |" in result.out
    for file in files:
        shown = codeword(*verb, "--format", SUFFIXES[file.suffix]).out
        same = (
            json.loads(shown) == json.loads(file.read_text())
            if file.suffix == ".json"
            else shown == file.read_text()
        )
        assert same, file
    assert_refused(codeword(*verb, "--format", "xml"), "--format = 'xml'", "latex")
    assert_refused(codeword(*verb, "--format", "csv", "--json"), "leave one")
    assert_refused(codeword(*verb, "--only", "layer"), "'layers'")
    assert_refused(codeword(*verb, "-o", tmp_path / "x.zip"), "x.zip", ".json or .csv")


def test_simulate_writes_values_and_figures(codeword: Command, network: Path, tmp_path: Path) -> None:
    places = ("-o", tmp_path / "y.npy", "-o", tmp_path / "y.json")
    assert codeword("simulate", network, "-a", "ews-cms-16", *places).status == 0
    assert package.load(tmp_path / "y.json").to_json()["bit_exact"] is True
    assert (tmp_path / "y.npy").exists()
    twice = ("-o", tmp_path / "y.npy", "-o", tmp_path / "z.npy")
    assert_refused(codeword("simulate", network, "-a", "ews-cms-16", *twice), "y.npy takes it already")


def test_a_full_disk(codeword: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "x.json"
    file.write_text("before")

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(file))

    monkeypatch.setattr(os, "replace", full)
    result = codeword("estimate", "resnet20", "-a", "ews-16", "-o", file)
    assert result.status == 2
    assert "No space left" in result.err
    assert "Fix: make room" in result.err
    assert "TOPS/W" in result.out
    assert file.read_text() == "before"


def command(*arguments: str, **environment: str) -> list[Any]:
    code = "import sys; sys.argv[0] = 'codeword'; from codeword.cli import main; main()"
    return [[sys.executable, "-c", code, *arguments], {**os.environ, **environment}]


def test_an_encoding_without_lines() -> None:
    call, environment = command("presets", PYTHONIOENCODING="ascii")
    done = subprocess.run(call, env=environment, capture_output=True, text=True, check=True)
    assert "  -----" in done.stdout
    assert "\\u" not in done.stdout


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_stdout_on_a_full_disk_and_a_closed_pipe() -> None:
    call, environment = command("presets")
    with open("/dev/full", "w") as full:
        done = subprocess.run(call, env=environment, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("codeword: No space left")
    running = subprocess.Popen(call, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert running.stdout is not None
    assert running.stderr is not None
    running.stdout.close()
    assert running.wait() == 0
    assert running.stderr.read() == b""
    running.stderr.close()


@pytest.mark.parametrize(("width", "colour"), [(80, True), (80, False), (200, True)])
def test_on_a_terminal(width: int, colour: bool) -> None:
    """As wide as it is, bold unless NO_COLOR says otherwise."""
    pty = pytest.importorskip("pty")
    call, environment = command("estimate", "resnet20", "-a", "ews-16", COLUMNS=str(width), TERM="xterm")
    environment.pop("NO_COLOR", None)
    own, other = pty.openpty()
    with subprocess.Popen(
        call,
        env=environment if colour else environment | {"NO_COLOR": "1"},
        stdout=other,
        stderr=subprocess.DEVNULL,
    ) as running:
        os.close(other)
        out = b""
        while chunk := _read(own):
            out += chunk
    os.close(own)
    assert running.returncode == 0
    text = out.decode().replace("\x1b[1m", "").replace("\x1b[0m", "")
    assert (b"\x1b[1m" in out) == colour
    assert "\x1b" not in text
    assert max(map(len, text.splitlines())) <= width
    assert ("Left out at this width" in text) == (
        width == 80 and "uncompressed" in text.split("Left out")[-1]
    )


def _read(end: int) -> bytes:
    try:
        return os.read(end, 65536)
    except OSError:  # Linux: the other end is closed
        return b""


def test_all_shows_sources(codeword: Command) -> None:
    assert "MVQ Table 8" not in codeword("estimate", "resnet20", "-a", "ews-16").out
    assert "MVQ Table 8" in codeword("estimate", "resnet20", "-a", "ews-16", "--all").out
