"""Builds the bench once for each Verilog and simulator, and runs it."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from rtl import verilog
from rtl.verify.bench import BENCH, CLOCK, MAIN, bench
from rtl.verify.simulators import environment
from sim.accelerator import Accelerator
from sim.errors import InputError

_RECIPE = {
    "icarus": ["iverilog", "-g2012", "-s", "bench_clock", "-o", "bench"],
    "verilator": ["verilator", "--cc", "--exe", "--build", "-O3", "--noassert", "-Wno-fatal", "-Wno-lint",
                  "--top-module", BENCH, "-CFLAGS", "-O2", "-o", "../bench"],
}
"""Commands that make `bench` of the Verilog files; changing one makes new entries in the cache."""
MEMORY_WORDS = 1 << 16
"""64-bit words of the bench's memory at least."""


def build(accelerator: Accelerator, simulator: str, rtl_dir: Path | None, words: int) -> Path:
    """Directory of the bench with a memory of at least `words` words, from the cache where possible."""
    settings = environment(simulator)
    size = max(MEMORY_WORDS, 1 << (words - 1).bit_length())
    texts = sources(accelerator, rtl_dir) | {
        f"{name}.v": text for name, text in bench(accelerator, size).items()}
    texts |= {"bench_clock.v": CLOCK} if simulator == "icarus" else {"main.cpp": MAIN}

    def make(directory: Path) -> None:
        _run([*_RECIPE[simulator], *texts], directory, settings)
        shutil.rmtree(directory / "obj_dir", ignore_errors=True)

    return cached(simulator, (_RECIPE[simulator], _version(simulator)), texts, make)


def cached(name: str, recipe: object, texts: Mapping[str, str], make: Callable[[Path], None]) -> Path:
    """Directory with the files `texts` and what `make` makes of them there.

    Args:
        recipe: whose repr tells how; another one is made anew.
    """
    key = hashlib.sha256(repr((recipe, sorted(texts.items()))).encode()).hexdigest()
    target = _cache() / f"{name}-{key[:24]}"
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
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


def run(built: Path, simulator: str, directory: Path, arguments: Sequence[str] = (),
        seconds: float | None = None) -> None:
    """Runs the bench on the files in `directory`.

    Raises:
        subprocess.TimeoutExpired: it takes longer than `seconds`.
    """
    program = str(built / "bench")
    command = ["vvp", "-n", program] if simulator == "icarus" else [program]
    _run([*command, *arguments], directory, environment(simulator), seconds)


def _run(command: Sequence[str], directory: Path, settings: dict[str, str],
         seconds: float | None = None) -> None:
    done = subprocess.run(command, cwd=directory, text=True, capture_output=True, check=False,
                          env=os.environ | settings, timeout=seconds)
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed:\n{(done.stdout + done.stderr)[-3000:]}")


def _version(simulator: str) -> str:
    """Of what is installed; a newer one builds anew."""
    tool = shutil.which("iverilog") if simulator == "icarus" else environment(simulator)["VERILATOR_ROOT"]
    assert tool is not None
    return f"{tool} {os.stat(tool).st_mtime_ns}"


def sources(accelerator: Accelerator, rtl_dir: Path | None) -> dict[str, str]:
    """Verilog of the accelerator by file name: an export, or exported afresh."""
    if rtl_dir is None:
        return {f"{name}.v": text for name, text in verilog.modules(accelerator).items()}
    files = sorted(Path(rtl_dir).glob("*.v"))
    if not files:
        raise InputError("rtl", str(rtl_dir), "holds no Verilog", "export the accelerator there")
    return {path.name: path.read_text() for path in files}


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "codeword" / "rtl"
