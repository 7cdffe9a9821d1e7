"""Builds the bench once for each Verilog and simulator, and runs it."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from rtl import verilog, yosys
from rtl.verify import activity, given, looking, probe, shells
from rtl.verify.bench import BENCH, bench
from rtl.verify.simulators import environment
from sim import caches
from sim.accelerator import Accelerator
from sim.steps import step

RECIPE = {
    "icarus": ["iverilog", "-g2012", "-s", "bench_clock", "-o", "bench"],
    "verilator": [
        "verilator",
        "--cc",
        "--exe",
        "--build",
        "-O3",
        "--noassert",
        "-Wno-fatal",
        "-Wno-lint",
        "--top-module",
        "bench_files",
        "-MAKEFLAGS",
        # What runs once, half of the code, takes as long to optimize as what runs in every cycle.
        "OPT_FAST=-O2 OPT_SLOW=-O0 OPT_GLOBAL=-O1",
        "-o",
        "../bench",
    ],
    # -O2 builds longer than it saves in the short runs that CXXRTL is for.
    "cxxrtl": ["g++", "-std=c++17", "-O1", "-DNDEBUG", "-o", "bench"],
}
"""Commands that make `bench` of the source files; changing one makes new entries in the cache."""
# One C++ class a module: a flattened design is one function, for which the compiler needs minutes.
_TO_CPP = [
    f"hierarchy -check -top {BENCH}",
    "proc",
    "opt_expr",
    "opt_merge",
    "opt_clean",
    "write_cxxrtl -noflatten -g1 bench.cc",
]
_JOBS = {"verilator": ["--build-jobs", str(os.cpu_count() or 1)]}
"""Options that change how soon the bench is built and not what it is."""
# CXXRTL would have registers behind a clock gate see what registers before it have just taken.
_GATED_TO_CPP = [
    *_TO_CPP[:2],
    "flatten",
    "formalff -declockgate",
    *_TO_CPP[2:-1],
    "write_cxxrtl -g1 bench.cc",
]
MEMORY_WORDS = 1 << 16
"""64-bit words of the bench's memory at least."""


def build(
    accelerator: Accelerator,
    simulator: str,
    rtl_dir: Path | None,
    words: int,
    look: looking.Look = looking.NOTHING,
) -> Path:
    """Directory of the bench with a memory of at least `words` words, from the cache where possible.

    Raises:
        InputError: what is in `rtl_dir` does not build; the message names file and line.
    """
    settings = environment(simulator)
    if simulator == "cxxrtl" and rtl_dir is None:
        # Without clock gates the hierarchy can stay, which the compiler needs a fifth of the time for.
        accelerator = accelerator.model_copy(update={"clock_gating": False})
    size = max(MEMORY_WORDS, 1 << (words - 1).bit_length())
    design = sources(accelerator, rtl_dir)
    # Of the simulators only Icarus waits for an event at no cost.
    shown = activity.watched(design) if simulator == "icarus" and look == looking.NOTHING else design
    probes = probe.verilog() * look.probes + probe.rows_verilog(accelerator.columns) * look.rows
    texts = {f"{name}.v": text for name, text in bench(accelerator, size, probes).items()} | shown
    shell = shells.texts(simulator, accelerator, look.form)
    options = looking.VERILATOR_OPTIONS.get(look.form, []) if simulator == "verilator" else []
    to_cpp = _GATED_TO_CPP if accelerator.clock_gating else _TO_CPP

    @step(f"building the simulation, {simulator}")
    def make(directory: Path) -> None:
        if simulator == "cxxrtl":
            # A ROM's file is a parameter: elaborated before it is known, it would not be found.
            yosys.run([*(f"read_verilog -defer {name}" for name in texts), *to_cpp], directory)
            _run([*RECIPE[simulator], shells.MAIN], directory, settings)
        else:
            compiled(simulator, directory, [*options, *texts, *shell], settings)

    try:
        recipe = (RECIPE[simulator], options, to_cpp, _version(simulator))
        return cached(simulator, recipe, texts | shell, make)
    except RuntimeError as error:
        if rtl_dir is None:
            raise
        raise given.blame(Path(rtl_dir), design, str(error)) from None


def compiled(simulator: str, directory: Path, files: Iterable[str], settings: dict[str, str]) -> None:
    """Makes `bench` of source files in a directory, by Icarus or Verilator; options may be among them."""
    _run([*RECIPE[simulator], *_JOBS.get(simulator, ()), *files], directory, settings)
    shutil.rmtree(directory / "obj_dir", ignore_errors=True)


def idle_ports(
    accelerator: Accelerator, simulator: str, rtl_dir: Path | None, changed: Iterable[int]
) -> tuple[str, ...] | None:
    """Ports that never changed, from the numbers that did; None where the simulator does not say."""
    return activity.idle(sources(accelerator, rtl_dir), changed) if simulator == "icarus" else None


def cached(name: str, recipe: object, texts: Mapping[str, str], make: Callable[[Path], None]) -> Path:
    """Directory with the files `texts` and what `make` makes of them there.

    Args:
        recipe: whose repr tells how; another one is made anew.
    """
    key = hashlib.sha256(repr((recipe, sorted(texts.items()))).encode()).hexdigest()
    target = caches.user("rtl") / f"{name}-{key[:24]}"
    if target.exists():
        return target
    staging = Path(tempfile.mkdtemp(prefix=".build-", dir=target.parent))
    try:
        for file, text in texts.items():
            (staging / file).write_text(text)
        make(staging)
        try:
            staging.rename(target)
        except OSError:  # built by someone else meanwhile
            if not target.exists():
                raise
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return target


def run(
    built: Path, simulator: str, directory: Path, arguments: Sequence[str] = (), seconds: float | None = None
) -> str:
    """Runs the bench on the files in `directory` and returns what it prints.

    Raises:
        subprocess.TimeoutExpired: it takes longer than `seconds`.
    """
    program = str(built / "bench")
    command = ["vvp", "-n", program] if simulator == "icarus" else [program]
    return _run([*command, *arguments], directory, environment(simulator), seconds)


def _run(
    command: Sequence[str], directory: Path, settings: dict[str, str], seconds: float | None = None
) -> str:
    done = subprocess.run(
        command,
        cwd=directory,
        text=True,
        capture_output=True,
        check=False,
        env=os.environ | settings,
        timeout=seconds,
    )
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed:\n{(done.stdout + done.stderr)[-3000:]}")
    return done.stdout


def _version(simulator: str) -> str:
    """Of what is installed; a newer one builds anew."""
    tools = {
        "icarus": shutil.which("iverilog"),
        "verilator": environment(simulator).get("VERILATOR_ROOT"),
        "cxxrtl": environment(simulator).get("CPLUS_INCLUDE_PATH"),
    }
    tool = tools[simulator]
    assert tool is not None
    return f"{tool} {os.stat(tool).st_mtime_ns}"


def sources(accelerator: Accelerator, rtl_dir: Path | None) -> dict[str, str]:
    """Verilog of the accelerator by file name: an export, or exported afresh."""
    if rtl_dir is None:
        return {f"{name}.v": text for name, text in verilog.modules(accelerator).items()}
    return given.read(Path(rtl_dir), accelerator)
