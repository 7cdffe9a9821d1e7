"""A memory image on disk is what the compiler made, and its own test bench runs it in plain Verilog simulators."""

from __future__ import annotations

import json
import re
import subprocess

import numpy as np
import pytest

from rtl import compiler, export, image, owned, verilog
from rtl.image.write import MANIFEST, files
from rtl.verify.random_network import random_case
from rtl.verify.simulators import environment
from rtl.weights.rom import init_files
from sim import network as functional
from sim.accelerator import load, preset
from sim.errors import InputError
from sim.systolic.engine import simulate

BASE = 0xC000_1000


def written(folder, name="ews-cms-4", seed=0, **options):
    accelerator = preset(name)
    case = random_case(accelerator, seed)
    return image.write(case.network, accelerator, folder, case.images, **options), case


def run(folder, name, simulator="icarus"):
    """What the test bench prints, with the commands in its head."""
    accelerator = preset(name)
    if accelerator.weights.universal:  # an export has its contents, which the image has too
        (folder / "rtl").mkdir()
        for module, text in verilog.modules(accelerator).items():
            (folder / "rtl" / f"{module}.v").write_text(text)
    else:
        export.export(accelerator, folder / "rtl")
    head = (folder / "testbench.v").read_text().partition("`timescale")[0]
    first, *others = re.findall(r"\$ (.*)", head)
    commands = [first] if simulator == "icarus" else others
    return subprocess.run(
        " && ".join(commands),
        shell=True,
        cwd=folder,
        text=True,
        capture_output=True,
        check=True,
        env=environment(simulator) | {"PATH": environment(simulator).get("PATH", "/usr/bin:/bin")},
    ).stdout


@pytest.mark.parametrize(
    ("name", "seed", "options"),
    [
        ("ews-cms-4", 0, {}),
        ("ews-cms-4", 0, {"l2_holds_all": True, "base": BASE}),
        ("ews-4", 2, {"base": BASE}),  # an output of 32 bits
        pytest.param("rom-4", 1, {}, marks=pytest.mark.slow),
    ],
)
def test_its_test_bench_passes_in_icarus(tmp_path, name, seed, options):
    found, case = written(tmp_path, name, seed, **options)
    expected = simulate(
        case.network, preset(name), case.images, l2_holds_all=options.get("l2_holds_all", False)
    )
    cycles = sum(layer.total_cycles for layer in expected.layers)
    assert found.cycles == cycles
    said = run(tmp_path, name)
    assert re.search(
        rf"^PASS: \d+ words of the output, {cycles} cycles, {cycles} of the engine$", said, re.M
    ), said
    words = (tmp_path / "expected.hex").read_text().splitlines()
    words[-1] = f"{int(words[-1], 16) ^ 1:016x}"
    (tmp_path / "expected.hex").write_text("\n".join(words) + "\n")
    again = subprocess.run(["vvp", "testbench.vvp"], cwd=tmp_path, text=True, capture_output=True, check=True)
    assert "FAIL: " in again.stdout
    assert f"word {len(words) - 1} of the output" in again.stdout


@pytest.mark.slow
def test_its_test_bench_passes_in_verilator(tmp_path):
    found, _ = written(tmp_path)
    assert f"{found.cycles} cycles, {found.cycles} of the engine" in run(tmp_path, "ews-cms-4", "verilator")


def test_nothing_waits_where_l2_holds_everything():
    accelerator = preset("ews-cms-4")
    for seed in range(3):
        case = random_case(accelerator, seed)
        waiting, clear = (
            compiler.compile(case.network, accelerator, plans=case.plans, l2_holds_all=held)
            for held in (False, True)
        )
        # The packets differ in `wait` alone, which is one bit of a word.
        differ = [
            bin(a ^ b).count("1") for a, b in zip(waiting.memory.tolist(), clear.memory.tolist(), strict=True)
        ]
        assert sum(differ) > 0
        assert max(differ) == 1
        normal, held = (
            simulate(case.network, accelerator, case.images, plans=case.plans, l2_holds_all=held)
            for held in (False, True)
        )
        assert held.bit_exact
        assert not any(layer.accesses["dram"] or layer.cycles["dram"] for layer in held.layers)
        total = [sum(layer.total_cycles for layer in one.layers) for one in (normal, held)]
        assert total[1] < total[0]


def test_files_hold_what_the_layout_says(tmp_path):
    found, case = written(tmp_path, seed=2, base=BASE)
    layout = json.loads((tmp_path / "layout.json").read_text())
    memory = (tmp_path / "memory.bin").read_bytes()
    hexes = "".join((tmp_path / "memory.hex").read_text().split())
    assert (
        b"".join(int(hexes[n : n + 16], 16).to_bytes(8, "little") for n in range(0, len(hexes), 16)) == memory
    )
    assert len(memory) == layout["memory"]["bytes"] == found.memory_bytes
    assert layout["memory"]["address"] == BASE
    assert set(found.files) | {MANIFEST} == {path.name for path in tmp_path.iterdir()}
    # The input, read by the layout alone.
    for place in layout["inputs"]:
        if place["fold"] is None:
            channels, height, width = place["shape"]
            first = place["address"] - BASE
            pixels = np.frombuffer(memory[first : first + 8 * place["words"]], np.int8)
            pixels = pixels.reshape(height, width, 8 * place["pixel_words"])[..., :channels]
            np.testing.assert_array_equal(
                pixels.transpose(2, 0, 1).reshape(case.images[0].shape), case.images[0]
            )
    # The output likewise.
    place = layout["output"]
    channels, height, width = place["shape"]
    output = b"".join(
        int(word, 16).to_bytes(8, "little") for word in (tmp_path / "expected.hex").read_text().split()
    )
    values = np.frombuffer(output, np.int8 if place["value_bits"] == 8 else "<i4")
    values = values.reshape(height, width, -1)[..., :channels].transpose(2, 0, 1)
    np.testing.assert_array_equal(values, functional.run(case.network, case.images)[place["tensor"]][0])
    registers = {
        one["register"]: one["value"]
        for one in json.loads((tmp_path / "registers.json").read_text())["write"]
    }
    for name, window in layout["windows"].items():
        assert registers[f"{name}_base_lo"] | registers[f"{name}_base_hi"] << 32 == window["address"]
        assert registers[f"{name}_size_lo"] == window["bytes"]
    for name, stream in layout["streams"].items():
        assert registers[f"{name}_base"] == stream["address"] - layout["windows"]["commands"]["address"]
        assert registers[f"{name}_count"] == stream["words"]
    assert registers["layer_count"] == len(layout["layers"])
    assert sum(layer["cycles"] for layer in layout["layers"]) == layout["cycles"] == found.cycles


def test_a_base_that_does_not_do(tmp_path):
    for base in (-4096, 64, 1 << 32, (1 << 32) - 4096):
        with pytest.raises(InputError, match=r"multiple of 4096.*address_bits"):
            written(tmp_path / "out", base=base)
    assert not (tmp_path / "out").exists()


def test_an_image_shares_its_directory_with_an_export(tmp_path):
    owned.write(tmp_path, {"codeword_pe.v": "module"})
    written(tmp_path)
    owned.write(tmp_path, {"codeword_pe.v": "module other"})
    assert (tmp_path / "memory.hex").exists()
    (tmp_path / "memory.hex").write_text("edited")
    with pytest.raises(InputError, match=r"memory\.hex.*was edited"):
        written(tmp_path)
    written(tmp_path, force=True)
    assert (tmp_path / "memory.hex").read_text() != "edited"


def test_a_rom_comes_with_its_contents():
    case = random_case(load("rom-4"), 1)
    expected = simulate(case.network, case.image.accelerator, case.images, plans=case.plans)
    found = files(case.image, expected, case.images[0], 0)
    contents = init_files(case.image.accelerator, case.image.rom)
    assert contents
    assert {name: found[name] for name in contents} == contents
