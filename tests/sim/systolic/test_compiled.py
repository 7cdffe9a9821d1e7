"""Compiled code that is kept on disk must not outlive any source it comes from."""

from __future__ import annotations

import ast
import importlib
import inspect
import os
import pkgutil
import shutil
import subprocess
import sys

from numba import njit
from numba.core.dispatcher import Dispatcher

import sim
from sim.systolic.bulk.compiled import SOURCES
from sim.systolic.engine import compiled


def _run(folder) -> list[int]:
    """What `run` of a package `machine` returns in a process of its own, and how often Numba had it on disk."""
    code = "from machine.kernel import run; print(run(3), sum(run.stats.cache_hits.values()))"
    environment = os.environ | {"PYTHONPATH": str(folder), "NUMBA_CACHE_DIR": str(folder / "kept")}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True
    )
    return [int(word) for word in done.stdout.split()]


def test_a_change_in_a_called_file_is_a_change(tmp_path):
    package = tmp_path / "machine"
    package.mkdir()
    (package / "__init__.py").touch()
    shutil.copy(inspect.getfile(compiled), package / "compiled.py")
    (package / "part.py").write_text(
        "from machine.compiled import step\n@step\ndef double(n):\n    return 2 * n\n"
    )
    (package / "kernel.py").write_text(
        "from numba import njit\nfrom machine.compiled import SOURCES\nfrom machine.part import double\n"
        "@njit(cache=True)\ndef run(n, sources=SOURCES):\n    return double(n)\n"
    )
    assert _run(tmp_path) == [6, 0]
    assert _run(tmp_path) == [6, 1]
    (package / "part.py").write_text((package / "part.py").read_text().replace("2 * n", "5 * n"))
    assert _run(tmp_path) == [15, 0]
    assert _run(tmp_path) == [15, 1]


@compiled.step
def _double(n):
    return 2 * n


@njit
def _four_times(n):
    return _double(_double(n))


def test_a_step_makes_no_machine_code_of_its_own():
    """Only the function that it is linked into does."""
    assert _four_times(3) == 12
    (whole,), (part,) = (function.overloads.values() for function in (_four_times, _double))
    assert whole.library._compiled
    assert not part.library._compiled


def test_what_calls_into_other_files_is_keyed_by_them():
    """Functions kept on disk take their SOURCES, or their file compiles nothing that it imports from our packages."""
    kept = 0
    for entry in pkgutil.walk_packages(sim.__path__, "sim."):
        if entry.name.endswith("__main__"):
            continue
        module = importlib.import_module(entry.name)
        functions = [
            value
            for value in vars(module).values()
            if isinstance(value, Dispatcher) and value.py_func.__module__ == entry.name
        ]
        loose = [
            function
            for function in functions
            if function.stats.cache_path
            and not {compiled.SOURCES, SOURCES} & {*(function.py_func.__defaults__ or ())}
        ]
        used = {name for function in functions for name in function.py_func.__code__.co_names}
        kept += len([function for function in functions if function.stats.cache_path])
        assert not loose or not used & _imported(module), (entry.name, loose)
    assert kept > 2


def _imported(module) -> set[str]:
    """Names that a module binds by imports from `sim`."""
    return {
        alias.asname or alias.name
        for node in ast.walk(ast.parse(inspect.getsource(module)))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("sim")
        for alias in node.names
    }
