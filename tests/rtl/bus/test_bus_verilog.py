"""rtl.bus as Verilog: one module of each kind, clean in Verilator's eyes."""

from __future__ import annotations

import os
import re
import shutil
import subprocess

import pytest

from rtl.block import module_name
from rtl.bus.command_port import CommandPort, systolic_streams
from rtl.verify.simulators import environment
from rtl.waivers import waivers
from tests.rtl.bus.bus_bench import ACC, BusBench, modules


@pytest.mark.parametrize(
    "make", [BusBench, lambda: CommandPort(streams=systolic_streams(ACC))], ids=["bench", "commands"]
)
def test_one_clean_module_of_each_kind(make, tmp_path):
    top = make()
    texts = modules(top)
    for name, text in texts.items():
        assert re.findall(r"^module (\w+)", text, re.M) == [name]
        (tmp_path / f"{name}.v").write_text(text)
    (tmp_path / "lint.vlt").write_text(waivers({f"{name}.v": text for name, text in texts.items()}))
    settings = environment("verilator")
    done = subprocess.run(
        [
            shutil.which("verilator", path=settings["PATH"]),
            "--lint-only",
            "-Wall",
            "--top-module",
            module_name(top.kind),
            "lint.vlt",
            *(f"{name}.v" for name in texts),
        ],
        cwd=tmp_path,
        env=os.environ | settings,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[:2000]
    assert "%Warning" not in done.stderr
