"""rtl.bus as Verilog in Icarus, against the memory and the host of cocotbext-axi."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest
from cocotb_tools.runner import get_runner

from rtl.block import module_name
from rtl.verify.build import _quiet
from tests.rtl.bus_bench import BusBench, modules

TOP = module_name(BusBench.kind)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Names of the tests in bus_cocotb.py, and whether each one failed; and the log."""
    directory = tmp_path_factory.mktemp("bus")
    texts = modules(BusBench())
    for name, text in texts.items():
        (directory / f"{name}.v").write_text(text)
    runner, log, report = get_runner("icarus"), directory / "run.log", directory / "results.xml"
    with _quiet(log):
        runner.build(sources=[directory / f"{name}.v" for name in texts], hdl_toplevel=TOP,
                     build_dir=directory, timescale=("1ns", "1ns"), log_file=directory / "build.log")
        runner.test(test_module="tests.rtl.bus_cocotb", hdl_toplevel=TOP, hdl_toplevel_lang="verilog",
                    build_dir=directory, test_dir=directory, log_file=log, results_xml=str(report))
    cases = ElementTree.parse(report).iter("testcase")
    return {case.get("name"): case.find("failure") is not None for case in cases}, log.read_text()


@pytest.mark.parametrize("case", ["registers", "all_ports_with_pauses", "errors_stop_the_run"])
def test_bench(results, case):
    failed, log = results
    assert not failed[case], log[-3000:]
