"""Files that appear whole or not at all, and files of others that may hold anything."""

from __future__ import annotations

import json
import os
import tempfile
import tomllib
from pathlib import Path
from tokenize import TokenError
from typing import Any

from sim.errors import InputError

DAMAGED = (
    ValueError,
    EOFError,
    SyntaxError,
    TokenError,
    RecursionError,
    MemoryError,
    OverflowError,
    TypeError,
)
"""What NumPy raises of a damaged .npy file: it reads the header as Python."""


def write_whole(path: str | Path, content: str | bytes) -> None:
    """Writes a file, text in UTF-8; an interrupted call leaves the old one.

    A link stays a link: what it names is written.
    """
    path = Path(os.path.realpath(path))
    data = content.encode() if isinstance(content, str) else content
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:64]}-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        Path(name).chmod(0o644)
        os.replace(name, path)
    finally:
        Path(name).unlink(missing_ok=True)


def write_json(path: str | Path, value: object) -> None:
    """Likewise, indented."""
    write_whole(path, json.dumps(value, indent=2) + "\n")


def read_toml(path: Path, what: str) -> dict[str, Any]:
    """The tables of a TOML file.

    Args:
        what: names the file in an error: "accelerator", "technology".

    Raises:
        InputError: missing, unreadable, not UTF-8, not TOML, or nested too deeply.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(what, str(path), error.strerror or str(error), "give a readable TOML file") from None
    except UnicodeDecodeError as error:
        problem = f"not UTF-8 at byte {error.start}"
        raise InputError(what, str(path), problem, "save the file in UTF-8") from None
    except (ValueError, RecursionError) as error:  # ValueError also of a number with thousands of digits
        raise InputError(what, str(path), f"not TOML: {error}", "correct the file") from None
