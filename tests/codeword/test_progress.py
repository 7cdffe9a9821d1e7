"""Bars on stderr: on a terminal alone, gone when the work is over, and never on stdout."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import threading

import pytest

WORK = """
import sys, time
from codeword import progress
from sim.steps import step, steps
with progress.shown():
    for n in steps(range(3), "counting [sheep]", 3):
        time.sleep(0.15)
    print("between")
    with step("building"):
        time.sleep(0.15)
    print("said meanwhile", file=sys.stderr)
"""


def run(command: list[str], terminal: bool, **settings: str) -> tuple[str, str]:
    """Stdout and stderr, of which the latter is a terminal or a pipe."""
    environment = {
        key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "TERM", "COLUMNS")
    }
    environment |= {"TERM": "xterm", "COLUMNS": "100"} | settings
    if not terminal:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        return done.stdout, done.stderr
    ours, theirs = pty.openpty()
    seen: list[bytes] = []

    def read() -> None:
        try:
            while part := os.read(ours, 1 << 16):
                seen.append(part)
        except OSError:  # closed at the other end
            pass

    reader = threading.Thread(target=read)
    reader.start()
    try:
        with subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=theirs,
            text=True,
        ) as process:
            os.close(theirs)
            stdout = process.communicate()[0]
            assert process.returncode == 0
        reader.join()
    finally:
        os.close(ours)
    return stdout, b"".join(seen).decode()


def test_a_terminal_shows_bars() -> None:
    stdout, stderr = run([sys.executable, "-c", WORK], True)
    assert stdout == "between\n"
    assert "counting [sheep]" in stderr
    assert "1/3" in stderr
    assert "building" in stderr
    assert "said meanwhile" in stderr
    assert stderr.count("\x1b[?25l") == stderr.count("\x1b[?25h")  # the cursor is there again


def test_no_colour_where_none_is_wanted() -> None:
    colour = "\x1b[38;5;"
    assert colour in run([sys.executable, "-c", WORK], True, TERM="xterm-256color")[1]
    shown = run([sys.executable, "-c", WORK], True, TERM="xterm-256color", NO_COLOR="1")[1]
    assert "counting [sheep]" in shown
    assert colour not in shown


@pytest.mark.parametrize("settings", [{}, {"FORCE_COLOR": "1"}], ids=["plain", "forced"])
def test_a_pipe_shows_nothing(settings: dict[str, str]) -> None:
    assert run([sys.executable, "-c", WORK], False, **settings) == ("between\n", "said meanwhile\n")


def test_json_on_stdout_is_json_alone() -> None:
    command = [
        sys.executable,
        "-c",
        "from codeword.cli import main; main()",
        "estimate",
        "resnet18",
        "-a",
        "ews-cms-64",
        "--json",
    ]
    stdout, stderr = run(command, True)
    assert json.loads(stdout)["network"] == "resnet18"
    assert "mapping" in stderr
