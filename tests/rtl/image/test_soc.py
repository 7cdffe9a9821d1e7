"""Firmware in C on a RISC-V processor drives the accelerator, in simulation of the whole system."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from math import prod

import pytest

from algos import zoo
from rtl import export, image
from rtl.bus import register_map, register_text
from rtl.control.counters import COUNTERS
from rtl.verify.random_network import random_case
from rtl.verify.simulators import environment
from sim.accelerator import preset
from sim.errors import InputError

BASE = 0x8000_0000
COMPILER = "riscv64-unknown-elf-gcc"


def commands(folder) -> list[str]:
    """Those in the head of soc.v."""
    head = (folder / "soc.v").read_text().partition("`timescale")[0].replace("\\\n//", "")
    return re.findall(r"\$ (.*)", head)


def compiled(folder, name: str, network, pictures) -> int:
    """Everything but the simulator; cycles of the model."""
    accelerator = preset(name)
    found = image.write(network, accelerator, folder, pictures, base=BASE, soc=True)
    export.export(accelerator, folder / "rtl")
    return found.cycles


def run(folder, wanted: list[str]) -> str:
    """What the last command prints."""
    surroundings = environment("verilator")
    surroundings["PATH"] = surroundings.get("PATH", "/usr/bin:/bin")
    said = ""
    for command in wanted:
        done = subprocess.run(
            command, shell=True, cwd=folder, text=True, capture_output=True, env=surroundings, check=False
        )
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
        said = done.stdout
    return said


@pytest.mark.slow
def test_firmware_names_the_class_of_a_picture(tmp_path) -> None:
    """ResNet-20 at 16x16: the class is the functional model's, the counter the engine's, every value by checksum."""
    core = pytest.importorskip("pythondata_cpu_picorv32", reason="extra proof")
    if shutil.which(COMPILER) is None:
        pytest.skip(f"no {COMPILER}")
    network, one = zoo.load_network(), zoo.load_images()[1].first(1)
    picture = network.input.quantize(one.pixels.numpy() / 255)
    cycles = compiled(tmp_path, "ews-cms-16", network, picture)
    shutil.copy(f"{core.data_location}/picorv32.v", tmp_path)
    said = run(tmp_path, commands(tmp_path))
    wanted = int(one.labels[0])  # which the network finds
    assert f"class {wanted}\ncounter: {cycles} cycles, model: {cycles}\nPASS\n" in said, said
    bus, waited = map(int, re.search(r"bus: (\d+) cycles .* interrupt, (\d+) of them", said).groups())
    assert bus == waited + cycles + 1, "layers follow one another, and the status is set in the cycle after"

    (tmp_path / "image.h").write_text(
        re.sub(
            r"(IMAGE_CHECKSUM 0x)(.)",
            lambda m: f"{m[1]}{int(m[2], 16) ^ 1:x}",
            (tmp_path / "image.h").read_text(),
        )
    )
    again = run(tmp_path, [*commands(tmp_path)[:3], commands(tmp_path)[-1]])
    assert "FAIL: firmware ends with 3" in again


def test_an_image_that_does_not_lie_in_the_memory_of_the_system(tmp_path) -> None:
    accelerator = preset("ews-cms-4")
    case = random_case(accelerator, 0)
    with pytest.raises(InputError, match=r"--base = '0x0': memory of the system.*--base 0x80000000"):
        image.write(case.network, accelerator, tmp_path, case.images, soc=True)
    assert not any(tmp_path.iterdir())


def test_the_header_describes_the_image(tmp_path) -> None:
    """Values by a C compiler's rules are those of the layout; every field of the run is a field of the struct."""
    accelerator = preset("ews-4")
    case = random_case(accelerator, 2)  # an output of 32 bits
    image.write(case.network, accelerator, tmp_path, case.images, base=BASE, soc=True)
    layout = json.loads((tmp_path / "layout.json").read_text())
    header = (tmp_path / "image.h").read_text()
    values = {
        name: int(value.rstrip("u"), 0) for name, value in re.findall(r"#define IMAGE_(\w+) (\w+) /", header)
    }
    assert BASE + values["OUTPUT"] == layout["output"]["address"]
    assert values["VALUE_BYTES"] * 8 == layout["output"]["value_bits"]
    assert values["PIXEL_BYTES"] == 8 * layout["output"]["pixel_words"]
    assert (values["CHANNELS"], values["PIXELS"]) == (
        layout["output"]["shape"][0],
        prod(layout["output"]["shape"][1:]),
    )
    assert 8 * values["WORDS"] == layout["memory"]["bytes"]
    run_fields = dict(re.findall(r"\.(\w+) = (\w+)", header))
    registers = register_text.header(register_map.register_map(accelerator, COUNTERS))
    struct = registers.partition("struct codeword_run {")[2].partition("};")[0]
    assert set(run_fields) == set(re.findall(r"(\w+)[,;]", struct))
    assert int(run_fields["weights_base"].rstrip("u"), 0) == layout["windows"]["weights"]["address"]
