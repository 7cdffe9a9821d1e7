"""The accelerator as an IP-XACT component (IEEE 1685-2014): bus interfaces, registers, ports, files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from xml.etree import ElementTree as Xml

from rtl import verilog
from rtl.bus.register_map import BYTES, Field, Register
from rtl.bus.registers import lite_signals
from rtl.verilog import Port

NAMESPACE = "http://www.accellera.org/XMLSchema/IPXACT/1685-2014"
VENDOR, LIBRARY, VERSION = "codeword", "accelerators", "0.1.0"
AMBA = ("amba.com", "AMBA4")
SLAVE, MASTER = "s_axil", "m_axi_"
ADDRESSES, REGISTERS, FILES = "memory", "registers", "rtl"
"""Names of the masters' address space, of the slave's memory map and of the Verilog."""
_ACCESS = {
    "constant": "read-only",
    "ro": "read-only",
    "rw": "read-write",
    "pulse": "read-write",
    "w1c": "read-write",
}
_WRITES = {"pulse": "oneToSet", "w1c": "oneToClear"}
"""What a write does where it is not the new value."""
_SIGNALS = {"clk": "clock", "rst": "reset", "irq": "interrupt"}


def component(
    name: str,
    sources: Mapping[str, str],
    registers: Sequence[Register],
    address_bits: int,
    others: Iterable[str],
) -> str:
    """The component as XML.

    Args:
        name: of the accelerator.
        sources: Verilog by file name, the top module first.
        others: files that the Verilog reads.
    """
    Xml.register_namespace("ipxact", NAMESPACE)
    ports = verilog.ports(next(iter(sources.values())))
    root = Xml.Element(_tag("component"))
    _texts(root, vendor=VENDOR, library=LIBRARY, name=name, version=VERSION)
    _interfaces(_add(root, "busInterfaces"), ports)
    space = _add(_add(root, "addressSpaces"), "addressSpace")
    _texts(space, name=ADDRESSES, range=str(1 << address_bits), width="8")
    _memory_map(_add(_add(root, "memoryMaps"), "memoryMap"), registers)
    _model(_add(root, "model"), ports)
    files = _add(_add(root, "fileSets"), "fileSet")
    _texts(files, name=FILES)
    for file in (*sources, *others):
        entry = _add(files, "file")
        _texts(entry, name=file, fileType="verilogSource" if file in sources else "user")
    Xml.indent(root)
    return Xml.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _tag(name: str) -> str:
    return f"{{{NAMESPACE}}}{name}"


def _add(parent: Xml.Element, tag: str, text: str | None = None, /, **attributes: str) -> Xml.Element:
    element = Xml.SubElement(parent, _tag(tag), attributes)
    element.text = text
    return element


def _texts(parent: Xml.Element, **texts: str) -> None:
    for name, text in texts.items():
        _add(parent, name, text)


def _interfaces(parent: Xml.Element, ports: Sequence[Port]) -> None:
    names = [port.name for port in ports]
    lite = [f"{SLAVE}_{signal}" for signal in lite_signals()]
    masters: dict[str, list[str]] = {}
    for port in names:
        if port.startswith(MASTER):
            masters.setdefault(port.rpartition("_")[0], []).append(port)
    slave = _interface(parent, SLAVE, (*AMBA, "AXI4-Lite", "r0p0_0"), _logical(lite, SLAVE))
    _add(_add(slave, "slave"), "memoryMapRef", memoryMapRef=REGISTERS)
    for master, members in masters.items():
        element = _interface(parent, master, (*AMBA, "AXI4", "r0p0_0"), _logical(members, master))
        _add(_add(element, "master"), "addressSpaceRef", addressSpaceRef=ADDRESSES)
    for port, kind in _SIGNALS.items():
        element = _interface(parent, port, (VENDOR, "signals", kind, "1.0"), {kind.upper(): port})
        _add(element, "slave" if port != "irq" else "master")


def _logical(ports: Iterable[str], prefix: str) -> dict[str, str]:
    """Ports by their AMBA names, clock and reset with them."""
    return {"ACLK": "clk"} | {port.removeprefix(f"{prefix}_").upper(): port for port in ports}


def _interface(
    parent: Xml.Element, name: str, kind: tuple[str, str, str, str], logical: Mapping[str, str]
) -> Xml.Element:
    vendor, library, bus, version = kind
    element = _add(parent, "busInterface")
    _add(element, "name", name)
    _add(element, "busType", vendor=vendor, library=library, name=bus, version=version)
    abstraction = _add(_add(element, "abstractionTypes"), "abstractionType")
    _add(abstraction, "abstractionRef", vendor=vendor, library=library, name=f"{bus}_rtl", version=version)
    maps = _add(abstraction, "portMaps")
    for signal, port in logical.items():
        pair = _add(maps, "portMap")
        _add(_add(pair, "logicalPort"), "name", signal)
        _add(_add(pair, "physicalPort"), "name", port)
    return element


def _memory_map(parent: Xml.Element, registers: Sequence[Register]) -> None:
    _add(parent, "name", REGISTERS)
    block = _add(parent, "addressBlock")
    _texts(block, name=REGISTERS, baseAddress="0", range=str(BYTES), width="32", usage="register")
    for register in registers:
        element = _add(block, "register")
        _texts(
            element,
            name=register.name,
            description=register.description,
            addressOffset=f"'h{register.offset:x}",
            size="32",
        )
        for field in register.fields:
            _field(_add(element, "field"), field)


def _field(parent: Xml.Element, field: Field) -> None:
    _texts(parent, name=field.name, description=field.description, bitOffset=str(field.low))
    _add(_add(_add(parent, "resets"), "reset"), "value", f"'h{field.reset:x}")
    _add(parent, "bitWidth", str(field.width))
    if field.access == "ro":
        _add(parent, "volatile", "true")
    _add(parent, "access", _ACCESS[field.access])
    if field.access in _WRITES:
        _add(parent, "modifiedWriteValue", _WRITES[field.access])


def _model(parent: Xml.Element, ports: Sequence[Port]) -> None:
    view = _add(_add(parent, "views"), "view")
    _texts(view, name=FILES, envIdentifier=":*Simulation:", componentInstantiationRef=FILES)
    instantiation = _add(_add(parent, "instantiations"), "componentInstantiation")
    _texts(instantiation, name=FILES, language="verilog", moduleName=verilog.TOP)
    _add(_add(instantiation, "fileSetRef"), "localName", FILES)
    listed = _add(parent, "ports")
    for port in ports:
        element = _add(listed, "port")
        _add(element, "name", port.name)
        wire = _add(element, "wire")
        _add(wire, "direction", {"input": "in", "output": "out"}[port.direction])
        if port.width > 1:
            vector = _add(_add(wire, "vectors"), "vector")
            _texts(vector, left=str(port.width - 1), right="0")
