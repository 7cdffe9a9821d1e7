"""IP-XACT, UPF and the wrapper for Zynq against the Verilog and the register map."""

from __future__ import annotations

import re
import shutil
import subprocess
from xml.etree import ElementTree as Xml

import pytest

from rtl import export, ipxact, zynq
from rtl.bus import register_map
from rtl.control.counters import COUNTERS
from sim.accelerator import preset

NAME = "ews-cms-4"
AXI_LITE = "AW W B AR R"
SPACE = {"i": ipxact.NAMESPACE}


@pytest.fixture(scope="module")
def files():
    return export.files(preset(NAME))


@pytest.fixture(scope="module")
def component(files):
    return Xml.fromstring(files["codeword.xml"].encode())


def _text(element, path):
    return element.findtext("/".join(f"i:{name}" for name in path.split("/")), namespaces=SPACE)


def _number(text):
    return int(text.removeprefix("'h"), 16) if "'h" in text else int(text)


def test_ports_are_those_of_the_verilog(component, files):
    text = files["codeword_accelerator.v"]
    head = text[text.index("\nmodule") : text.index("\n);")]
    declared = {
        name: (way, int(high or 0))
        for way, high, name in re.findall(r"^  (in|out)put (?:wire|reg) (?:\[(\d+):0\] )?(\w+)", head, re.M)
    }
    found = {
        _text(port, "name"): (
            _text(port, "wire/direction"),
            int(_text(port, "wire/vectors/vector/left") or 0),
        )
        for port in component.iterfind(".//i:ports/i:port", SPACE)
    }
    assert found == declared
    assert (
        _text(component, "model/instantiations/componentInstantiation/moduleName") == "codeword_accelerator"
    )


def test_every_bus_has_its_signals(component):
    ports = {_text(port, "name") for port in component.iterfind(".//i:ports/i:port", SPACE)}
    buses = {}
    for bus in component.iterfind("i:busInterfaces/i:busInterface", SPACE):
        pairs = {
            _text(pair, "logicalPort/name"): _text(pair, "physicalPort/name")
            for pair in bus.iterfind(".//i:portMap", SPACE)
        }
        assert set(pairs.values()) <= ports
        buses[_text(bus, "name")] = bus.find("i:busType", SPACE).get("name"), pairs
    assert {name: kind for name, (kind, _) in buses.items()} == {
        "s_axil": "AXI4-Lite",
        "m_axi_commands": "AXI4",
        "m_axi_weights": "AXI4",
        "m_axi_maps": "AXI4",
        "clk": "clock",
        "rst": "reset",
        "irq": "interrupt",
    }
    handshakes = {f"{channel}{way}" for channel in AXI_LITE.split() for way in ("VALID", "READY")}
    assert handshakes <= set(buses["s_axil"][1])
    assert handshakes <= set(buses["m_axi_maps"][1])
    mapped = {port for _, pairs in buses.values() for port in pairs.values()}
    assert {port for port in ports if "axi" in port} <= mapped


def test_registers_are_those_of_the_c_header(component, files):
    header = files["codeword_registers.h"]
    offsets = {
        name: int(value, 16)
        for name, value in re.findall(r"^#define CODEWORD_(\w+) 0x([0-9a-f]{3})u /\*", header, re.M)
    }
    masks = {
        name: int(value, 16)
        for name, value in re.findall(r"^#define CODEWORD_(\w+) 0x([0-9a-f]{8})u", header, re.M)
    }
    registers = component.findall(".//i:addressBlock/i:register", SPACE)
    assert {_text(one, "name").upper(): _number(_text(one, "addressOffset")) for one in registers} == offsets
    assert len(registers) == len(register_map.register_map(preset(NAME), COUNTERS))
    for register in registers:
        reset = 0
        for field in register.iterfind("i:field", SPACE):
            low, width = int(_text(field, "bitOffset")), int(_text(field, "bitWidth"))
            reset |= _number(_text(field, "resets/reset/value")) << low
            name = f"{_text(register, 'name')}_{_text(field, 'name')}".upper()
            if width < 32:
                assert masks[name] == (1 << width) - 1 << low
        value = masks.get(f"{_text(register, 'name')}_VALUE".upper())
        assert value is None or reset == value
    acts = {
        _text(field, "name"): _text(field, "modifiedWriteValue")
        for field in component.iterfind(".//i:field", SPACE)
        if _text(field, "modifiedWriteValue")
    }
    assert acts == {"start": "oneToSet", "clear": "oneToSet", "interrupt": "oneToClear"}


def test_files_are_those_of_the_export(component, files):
    listed = {_text(file, "name") for file in component.iterfind(".//i:fileSet/i:file", SPACE)}
    verilog = {name for name in files if re.match(r"codeword_\w+\.v$", name)} - {zynq.WRAPPER}
    assert listed == verilog


def test_power_domains_name_instances_of_the_verilog(files):
    """And the whole is Tcl."""
    text = files["codeword.upf"]
    elements = re.search(r"PD_MEMORY -elements \{(.*?)\}", text, re.S)[1].split()
    assert len(elements) > 5
    for path in elements:
        module = "codeword_accelerator"
        for name in path.split("/"):
            module = re.search(rf"^  (\w+) (?:#\(.*\) )?{name} \(", files[f"{module}.v"], re.M)[1]
        assert module.startswith("codeword_sram")
    tcl = pytest.importorskip("tkinter").Tcl()
    for command in {line.split()[0] for line in text.splitlines() if line and line[0] not in " #}"}:
        tcl.eval(f"proc {command} args {{ global commands; incr commands }}")
    tcl.eval(text)
    assert int(tcl.eval("set commands")) > 15


@pytest.mark.skipif(shutil.which("iverilog") is None, reason="needs Icarus Verilog")
def test_the_wrapper_for_zynq_connects_every_port(files, tmp_path):
    sources = [name for name in files if name.endswith(".v")]
    for name in sources:
        (tmp_path / name).write_text(files[name])
    done = subprocess.run(
        ["iverilog", "-g2005", "-Wall", "-Wno-timescale", "-t", "null", "-s", "codeword_zynq", *sources],
        cwd=tmp_path,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[:2000]
    assert "codeword_zynq.v" not in done.stderr, done.stderr[:2000]
    buses = set(re.findall(r"aximm:1\.0 (\w+) ", files[zynq.WRAPPER]))
    assert buses == {"s_axil", "m_axi_commands", "m_axi_weights", "m_axi_maps"}
    for bus in buses:
        assert f"accelerator/{bus}]" in files[zynq.SCRIPT]
