"""Builds the bench once for each Verilog and simulator, and runs it."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
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
    texts = _sources(accelerator, rtl_dir) | {
        f"{name}.v": text for name, text in bench(accelerator, size).items()}
    texts |= {"bench_clock.v": CLOCK} if simulator == "icarus" else {"main.cpp": MAIN}
    key = hashlib.sha256(repr((_RECIPE[simulator], _version(simulator), sorted(texts.items()))).encode())
    target = _cache() / f"{simulator}-{key.hexdigest()[:24]}"
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=".build-", dir=target.parent))
    try:
        for name, text in texts.items():
            (staging / name).write_text(text)
        _run([*_RECIPE[simulator], *texts], staging, settings)
        shutil.rmtree(staging / "obj_dir", ignore_errors=True)
        try:
            staging.rename(target)
        except OSError:  # built by someone else meanwhile
            if not target.exists():
                raise
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return target


def run(built: Path, simulator: str, directory: Path) -> None:
    """Runs the bench on the files in `directory`."""
    program = str(built / "bench")
    command = ["vvp", "-n", program] if simulator == "icarus" else [program]
    _run(command, directory, environment(simulator))


def _run(command: Sequence[str], directory: Path, settings: dict[str, str]) -> None:
    done = subprocess.run(command, cwd=directory, text=True, capture_output=True, check=False,
                          env=os.environ | settings)
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed:\n{(done.stdout + done.stderr)[-3000:]}")


def _version(simulator: str) -> str:
    """Of what is installed; a newer one builds anew."""
    tool = shutil.which("iverilog") if simulator == "icarus" else environment(simulator)["VERILATOR_ROOT"]
    assert tool is not None
    return f"{tool} {os.stat(tool).st_mtime_ns}"


def _sources(accelerator: Accelerator, rtl_dir: Path | None) -> dict[str, str]:
    if rtl_dir is None:
        return {f"{name}.v": text for name, text in verilog.modules(accelerator).items()}
    files = sorted(Path(rtl_dir).glob("*.v"))
    if not files:
        raise InputError("rtl", str(rtl_dir), "holds no Verilog", "export the accelerator there")
    return {path.name: path.read_text() for path in files}


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "codeword" / "rtl"
