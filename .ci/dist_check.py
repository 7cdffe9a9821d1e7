"""Builds sdist and wheel, installs the wheel into a bare environment, and uses it there as a newcomer would.

    python .ci/dist_check.py                  # newest dependencies; `make dist-check`
    python .ci/dist_check.py --lowest         # the lowest that pyproject.toml allows; `make lowest`

First without any extra: what needs one must say which. Then with those of `--extra`. Status 1 where anything is
otherwise than written here; the time from nothing to the first estimate is printed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
BUILD = "from setuptools import build_meta; print(build_meta.build_{}({!r}))"

LIGHT = (
    (["--version"], 0, "codeword "),
    (["estimate", "resnet18", "-a", "ews-cms-64"], 0, "1,814,073,344"),
    (["compare", "resnet18", "-a", "ws-64", "-a", "ews-64"], 0, "Cycles by cause"),
    (["explain", "store"], 0, "waits for the storer"),
    (["presets"], 0, "ews-cms-64"),
    (["networks"], 0, "resnet20-fashion"),
    (["doctor"], 0, "codeword[sim]"),
    (["report"], 0, "mvq_hardware"),
    (["simulate", "resnet20-fashion", "-a", "ews-cms-16"], 2, "pip install 'codeword[sim]'"),
    (["verilog", "-a", "ews-4", "-o", "rtl"], 2, "pip install 'codeword[rtl]'"),
    (["verify", "-a", "ews-4"], 2, "pip install 'codeword["),
    (["quantize", "resnet20-fashion", "-o", "net.safetensors"], 2, "pip install 'codeword[algos]'"),
)
"""Arguments, exit status, and what stdout or stderr holds, of the core alone."""

WITH = {
    "sim": (["simulate", "resnet20-fashion", "-a", "ews-cms-16"], 0, "every tensor equals"),
    "rtl": (["verilog", "-a", "ews-4", "-o", "rtl"], 0, "modules, top codeword_"),
    "onnx": (["estimate", "missing.onnx", "-a", "ews-4"], 2, "missing.onnx"),
}
"""Likewise with an extra."""


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--lowest", action="store_true", help="the lowest versions of direct dependencies")
    parser.add_argument("--extra", action="append", default=[], choices=WITH, help="repeatable")
    parser.add_argument("--dist", type=Path, help="keep sdist and wheel here")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        wheel = built(folder, given.dist)
        begin = time.monotonic()
        run([sys.executable, "-m", "venv", folder / "bare"])
        install(folder, wheel, "", given.lowest)
        wrong = tried(folder, LIGHT[1:2])
        print(f"from nothing to the first estimate: {time.monotonic() - begin:.0f} s")
        wrong += tried(folder, LIGHT)
        for extra in given.extra:
            install(folder, wheel, extra, given.lowest)
            wrong += tried(folder, [WITH[extra]])
    print(f"{sys.version.split()[0]}: {'all well' if not wrong else f'{wrong} WRONG'}")
    return int(wrong > 0)


def built(folder: Path, keep: Path | None) -> Path:
    """The wheel, made from the sdist as an installer would make it."""
    run([sys.executable, "-m", "venv", folder / "build"])
    python, dist = folder / "build/bin/python", (keep or folder / "dist").resolve()
    dist.mkdir(parents=True, exist_ok=True)
    run([python, "-m", "pip", "install", "-q", "setuptools>=77"])
    sdist = run([python, "-c", BUILD.format("sdist", str(dist))], cwd=ROOT).splitlines()[-1]
    with tarfile.open(dist / sdist) as archive:
        archive.extractall(folder / "source", filter="data")
    (source,) = (folder / "source").iterdir()
    return dist / run([python, "-c", BUILD.format("wheel", str(dist))], cwd=source).splitlines()[-1]


def install(folder: Path, wheel: Path, extra: str, lowest: bool) -> None:
    """Into the bare environment; versions by pip, or the lowest by uv, which alone can."""
    python = folder / "bare/bin/python"
    if not lowest:
        run([python, "-m", "pip", "install", "-q", f"{wheel}[{extra}]" if extra else wheel])
        return
    run([folder / "build/bin/python", "-m", "pip", "install", "-q", "uv"])
    uv = [folder / "build/bin/uv", "pip", "install", "-q", "--python", python]
    # Of a wheel only the wheel itself would be direct, and all that it requires the newest.
    of = ["--extra", extra] if extra else []
    run([*uv, "--resolution", "lowest-direct", "-r", ROOT / "pyproject.toml", *of])
    run([*uv, "--no-deps", "--reinstall-package", "codeword", wheel])
    print(run([folder / "build/bin/uv", "pip", "freeze", "--python", python]))


def tried(folder: Path, cases: Sequence[tuple[list[str], int, str]]) -> int:
    """How many commands did otherwise."""
    empty = folder / "empty"
    empty.mkdir(exist_ok=True)
    own = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    wrong = 0
    for arguments, status, said in cases:
        call = [folder / "bare/bin/codeword", *arguments]
        done = subprocess.run(call, cwd=empty, env=own, capture_output=True, text=True)
        heard = done.stdout + done.stderr
        well = done.returncode == status and said in heard
        print(f"{'ok   ' if well else 'WRONG'} codeword {' '.join(arguments)}")
        if not well:
            print(f"status {done.returncode}, expected {status} and {json.dumps(said)}:\n{heard}")
            wrong += 1
    return wrong


def run(call: Sequence[object], cwd: Path | None = None) -> str:
    """What a command prints; stops with its errors where it fails."""
    done = subprocess.run(list(map(str, call)), cwd=cwd, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, call))}: status {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
