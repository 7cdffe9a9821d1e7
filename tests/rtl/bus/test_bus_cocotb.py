"""rtl.bus as Verilog in Icarus, against the memory and the host of cocotbext-axi."""

from __future__ import annotations

from xml.etree import ElementTree

from cocotb_tools.runner import get_runner

from rtl.block import module_name
from rtl.verify.cocotb_run import quiet
from tests.rtl.bus.bus_bench import BusBench, modules

TOP = module_name(BusBench.kind)


def test_bench(tmp_path):
    """The runner raises, with the log, if one of bus_cocotb.py fails."""
    texts = modules(BusBench())
    for name, text in texts.items():
        (tmp_path / f"{name}.v").write_text(text)
    runner, log, report = get_runner("icarus"), tmp_path / "run.log", tmp_path / "results.xml"
    with quiet(log):
        runner.build(
            sources=[tmp_path / f"{name}.v" for name in texts],
            hdl_toplevel=TOP,
            build_dir=tmp_path,
            timescale=("1ns", "1ns"),
            log_file=tmp_path / "build.log",
        )
        runner.test(
            test_module="tests.rtl.bus.bus_cocotb",
            hdl_toplevel=TOP,
            hdl_toplevel_lang="verilog",
            build_dir=tmp_path,
            test_dir=tmp_path,
            log_file=log,
            results_xml=str(report),
        )
    assert {case.get("name") for case in ElementTree.parse(report).iter("testcase")} == {
        "registers",
        "all_ports_with_pauses",
        "errors_stop_the_run",
    }
