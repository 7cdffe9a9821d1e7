"""Every verb: its JSON, its table, its exit status."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sim import artifact
from sim.network import Network
from sim.network import run as functional
from tests.codeword.conftest import Command


def test_estimate_resnet18(codeword: Command) -> None:
    result = codeword("estimate", "resnet18", "-a", "ews-cms-64", "--json")
    assert (result.status, result.err) == (0, "")
    fields = json.loads(result.out)
    assert fields["macs"] == 1_814_073_344
    assert fields["area_mm2"]["total"] == pytest.approx(11.68, rel=0.05)
    assert fields["peak_tops"] == pytest.approx(2.458, abs=0.001)


def test_estimate_prints_a_table_with_the_exclusions(codeword: Command) -> None:
    result = codeword("estimate", "resnet18", "-a", "ews-cms-64")
    assert result.status == 0
    for text in ("layer4.1.conv2", "first convolution", "classifier", "1,814,073,344", "11.680"):
        assert text in result.out


def test_unknown_area_is_null_and_says_why(codeword: Command) -> None:
    fields = json.loads(codeword("estimate", "resnet18", "-a", "ws-cms-64", "--json").out)
    assert fields["area_mm2"]["total"] is None
    assert "no area of WS-CMS" in fields["area_sources"]["array"]["source"]
    assert "unknown" in codeword("estimate", "resnet18", "-a", "ws-cms-64").out


def test_set_replaces_a_field(codeword: Command) -> None:
    arguments = ("estimate", "resnet20", "-a", "ews-16", "--json")
    slow = json.loads(codeword(*arguments, "--set", "clock_hz=150e6").out)
    fast = json.loads(codeword(*arguments).out)
    assert slow["time_s"] == pytest.approx(2 * fast["time_s"])


def test_accelerator_from_toml(codeword: Command, tmp_path: Path) -> None:
    file = tmp_path / "wide.toml"
    file.write_text('base = "ews-cms-16"\nweight_port_bits = 128\n')
    fields = json.loads(codeword("estimate", "resnet20", "-a", file, "--json").out)
    narrow = json.loads(codeword("estimate", "resnet20", "-a", "ews-cms-16", "--json").out)
    assert fields["accelerator"] == "wide"
    assert fields["cycles"] < narrow["cycles"]


def test_simulate_equals_the_functional_model(codeword: Command, network: Path, tmp_path: Path) -> None:
    images = np.random.default_rng(5).integers(-128, 128, (3, 1, 6, 6)).astype(np.int8)
    np.save(tmp_path / "x.npy", images)
    result = codeword(
        "simulate",
        network,
        "-a",
        "ews-cms-16",
        "--input",
        tmp_path / "x.npy",
        "-o",
        tmp_path / "y.npy",
        "--json",
    )
    fields = json.loads(result.out)
    assert (result.status, fields["bit_exact"], fields["images"]) == (0, True, 3)
    assert fields["wall_s"] > 0
    logits = functional(artifact.load(network), images)["fc"].reshape(3, -1)
    np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), logits)
    estimated = json.loads(codeword("estimate", network, "-a", "ews-cms-16", "--json").out)
    assert estimated["cycles"] == fields["cycles"]
    assert estimated["energy_pj"] == pytest.approx(fields["energy_pj"])


def test_simulate_takes_float_images_and_random_ones(
    codeword: Command, network: Path, tmp_path: Path
) -> None:
    real = np.linspace(-1, 1, 36).reshape(1, 6, 6)
    np.save(tmp_path / "x.npy", real)
    codeword("simulate", network, "-a", "ews-16", "--input", tmp_path / "x.npy", "-o", tmp_path / "y.npy")
    quantized = np.clip(np.rint(real * 128), -128, 127).astype(np.int8)[None]
    logits = functional(artifact.load(network), quantized)["fc"].reshape(1, -1)
    np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), logits)
    assert "2 images" in codeword("simulate", network, "-a", "ews-16", "--images", 2).out


def test_simulate_a_synthetic_network_in_the_native_format(codeword: Command) -> None:
    fields = json.loads(codeword("simulate", "resnet20-synthetic", "-a", "ssvq-16", "--json").out)
    assert (fields["bit_exact"], fields["synthetic"], fields["network"]) == (True, True, "resnet20-synthetic")
    result = codeword("simulate", "resnet20-synthetic", "-a", "ews-cms-16")
    assert "random, not trained: mvq" in result.out


def test_a_failed_check_is_status_one(
    codeword: Command, network: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(net: Network, images: np.ndarray) -> dict[str, np.ndarray]:
        return {name: tensor ^ 1 for name, tensor in functional(net, images).items()}

    monkeypatch.setattr("sim.network.run", wrong)
    result = codeword("simulate", network, "-a", "ews-cms-16", "--json")
    assert (result.status, json.loads(result.out)["bit_exact"]) == (1, False)


def test_verilog(codeword: Command, tmp_path: Path) -> None:
    result = codeword("verilog", "-a", "ews-cms-8", "-o", tmp_path / "rtl", "--json")
    fields = json.loads(result.out)
    assert result.status == 0
    written = {file.name for file in (tmp_path / "rtl").glob("*.v")}
    assert written == {*fields["files"], "codeword_zynq.v"}
    assert (tmp_path / "rtl" / "lint.vlt").exists()


def test_verify_a_layer(codeword: Command, network: Path) -> None:
    result = codeword("verify", "-a", "ews-cms-16", "--network", network, "--layer", "b", "--json")
    fields = json.loads(result.out)
    assert (result.status, fields["mismatches"]) == (0, 0)
    assert fields["words_compared"] == 16 * 6 * 6
    assert fields["cycles_rtl"] == fields["cycles_model"] > 0


def test_verify_finds_a_fault_in_edited_verilog(codeword: Command, tmp_path: Path) -> None:
    folder = tmp_path / "rtl"
    assert codeword("verilog", "-a", "ews-8", "-o", folder).status == 0
    options = ("verify", "-a", "ews-8", "--seed", 4, "--networks", 1, "--rtl", folder)
    assert codeword(*options).status == 0
    pe = folder / "codeword_pe.v"
    text = pe.read_text()
    assert "$signed(held)" in text
    pe.write_text(text.replace("$signed(held)", "$signed(held ^ 8'h01)"))
    result = codeword(*options)
    assert result.status == 1
    assert "expected" in result.out
    assert "channel" in result.out


def test_verify_random_network_prints_a_verdict(codeword: Command) -> None:
    result = codeword("verify", "-a", "ews-8", "--seed", 4, "--networks", 1)
    assert result.status == 0
    assert "0 mismatches" in result.out
    assert "equal." in result.out


def test_verify_with_stalls_compares_values(codeword: Command) -> None:
    result = codeword("verify", "-a", "ews-8", "--seed", 4, "--networks", 1, "--stalls", "--json")
    fields = json.loads(result.out)
    assert (result.status, fields["mismatches"]) == (0, 0)
    assert fields["cycles_rtl"] > fields["cycles_model"]


def test_verify_a_network(codeword: Command, network: Path) -> None:
    result = codeword("verify", "-a", "ews-cms-16", "--network", network, "--json")
    fields = json.loads(result.out)
    assert (result.status, fields["mismatches"]) == (0, 0)
    assert len(fields["layers"]) > 1
    assert all(layer["cycles_rtl"] == layer["cycles_model"] for layer in fields["layers"])


def test_a_mismatch_is_status_one_and_named(codeword: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    from rtl import verify

    original = verify.verify_random

    def broken(*arguments: object, **options: object) -> verify.VerifyResult:
        return replace(original(*arguments, **options), mismatches=1, first_mismatch="conv0, y 2")

    monkeypatch.setattr(verify, "verify_random", broken)
    result = codeword("verify", "-a", "ews-8", "--networks", 1)
    assert result.status == 1
    assert "DIFFERENT: conv0, y 2" in result.out


def test_compress_then_simulate(codeword: Command, tmp_path: Path) -> None:
    file = tmp_path / "net.safetensors"
    result = codeword("compress", "resnet20-fashion", "-k", 16, "--epochs", 0, "-o", file, "--json")
    fields = json.loads(result.out)
    assert result.status == 0
    assert 15 / 16 < fields["bits_per_weight"] < 1.1  # 4 + 11 bits for 16 weights, and codebooks
    assert fields["compression_ratio"] == pytest.approx(32 / fields["bits_per_weight"])
    assert fields["accuracy"] > 0.5
    run = json.loads(codeword("simulate", file, "-a", "ews-cms-16", "--json").out)
    assert run["bit_exact"]


@pytest.mark.parametrize(
    ("method", "machine", "bits"), [("vq", "ews-c-16", 8 / 8), ("ssvq", "ssvq-16", 4 / 8 + 1)]
)
def test_other_methods_run_on_their_machines(
    codeword: Command, tmp_path: Path, method: str, machine: str, bits: float
) -> None:
    file = tmp_path / "net.safetensors"
    fields = json.loads(
        codeword("compress", "resnet20-fashion", "--method", method, "--epochs", 0, "-o", file, "--json").out
    )
    assert bits < fields["bits_per_weight"] < bits + 0.8  # and codebooks
    run = json.loads(codeword("simulate", file, "-a", machine, "--set", "codeword_length=8", "--json").out)
    assert run["bit_exact"]


def test_vim_vq_compresses_deit(codeword: Command, tmp_path: Path) -> None:
    file = tmp_path / "net.safetensors"
    fields = json.loads(
        codeword(
            "compress",
            "deit-fashion",
            "--method",
            "vim-vq",
            "-k",
            16,
            "-d",
            8,
            "--steps",
            20,
            "-o",
            file,
            "--json",
        ).out
    )
    assert 4 / 8 < fields["bits_per_weight"] < 1
    assert fields["fine_tuning_epochs"] == 0
    assert fields["precision"] is None
    assert fields["accuracy"] > 0.5
    assert json.loads(codeword("simulate", file, "-a", "ews-c-16", "--json").out)["bit_exact"]


def test_help_names_every_verb(codeword: Command) -> None:
    result = codeword("--help")
    assert result.status == 0
    for verb in (
        "quantize",
        "compress",
        "estimate",
        "simulate",
        "verilog",
        "compile",
        "synth",
        "verify",
        "report",
    ):
        assert verb in result.out


def test_help_of_compress_lists_every_method_or_explains_one(codeword: Command) -> None:
    words = " ".join(codeword("compress", "--help").out.split())
    for text in ("vq4all: one universal codebook", "--cross-layer no", "--forced 0.5,0.9", "dkm: ", "-k 256"):
        assert text in words
    words = " ".join(codeword("compress", "--method=ssvq", "--help").out.split())
    for text in ("Options of ssvq", "--no-learn-signs", "the sooner a sign", "--data"):
        assert text in words
    assert "--pattern" not in words


def command(*arguments: str) -> str:
    return (
        f"sys.argv = ['codeword', *{arguments}]\n"
        "try:\n    from codeword.cli import main; main()\nexcept SystemExit: pass\n"
    )


def loaded_by(statement: str) -> set[str]:
    """Packages in sys.modules after a statement in a fresh interpreter."""
    code = f"import sys; {statement}\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split())


HEAVY = {"torch", "numba", "amaranth", "cocotb", "matplotlib", "onnx", "scipy", "numpy", "pydantic"}
"""What takes longer to load than a help may take to appear; none of it is needed for one."""


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import codeword", {*HEAVY, "typer", "rich"}),
        ("import codeword.cli, codeword.api", HEAVY),
        ("import sim", HEAVY),
        ("import codeword; codeword.estimate('resnet18', 'ews-cms-64')", HEAVY - {"numpy", "pydantic"}),
        ("import sim.estimate, sim.artifact, sim.workloads", {"torch", "amaranth", "numba"}),
        ("import sim.systolic.engine", {"torch", "amaranth"}),
        (command("--help"), HEAVY),
        (command("estimate", "--help"), HEAVY - {"pydantic"}),
        (command("estimate", "resnet18", "-a", "ews-cms-64"), HEAVY - {"numpy", "pydantic"}),
        (command("report"), {"torch", "amaranth", "numba"}),
        (command("compress", "--help"), {"amaranth", "numba"}),
    ],
)
def test_heavy_packages_load_only_where_used(statement: str, absent: set[str]) -> None:
    assert not loaded_by(statement) & absent


def test_settings_apply_to_an_accelerator_object_too() -> None:
    from codeword import inputs
    from sim import accelerator

    machine = accelerator.preset("ews-16")
    assert inputs.accelerator(machine, ["wrf_depth=8"]).wrf_depth == 8
    assert inputs.accelerator(machine) == machine


def test_simulate_a_step_of_a_file_that_holds_several(
    codeword: Command, network: Path, tmp_path: Path
) -> None:
    first, bank = artifact.load(network), tmp_path / "bank.safetensors"
    artifact.save_steps(
        [first, replace(first, input=replace(first.input, scale=first.input.scale * 2))], bank
    )
    real = np.linspace(-1, 1, 36).reshape(1, 1, 6, 6)
    np.save(tmp_path / "x.npy", real)
    for step in range(2):
        given = ("-a", "ews-16", "--input", tmp_path / "x.npy", "-o", tmp_path / "y.npy", "--step", step)
        assert codeword("simulate", bank, *given).status == 0
        net = artifact.load(bank, step)
        wanted = functional(net, net.input.quantize(real))["fc"].reshape(1, -1)
        np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), wanted)
    refused = codeword("simulate", bank, "-a", "ews-16", "--step", 2)
    assert (refused.status, "the network has steps 0 to 1" in " ".join(refused.err.split())) == (2, True)
    refused = codeword("simulate", "resnet20-fashion", "-a", "ews-16", "--step", 1)
    assert (refused.status, "has one step" in refused.err) == (2, True)
