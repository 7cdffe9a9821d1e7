"""Where results go is checked before the work that makes them."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sim.errors import InputError
from sim.files import write_whole

if TYPE_CHECKING:
    import numpy as np


def file(path: str | Path, suffixes: Sequence[str], option: str = "--output") -> Path:
    """A file to write, as it was named.

    Args:
        suffixes: that it may have, "" for none.

    Raises:
        InputError: another suffix, a directory or a device, or a folder that is missing or read-only.
    """
    path = Path(path)
    if path.suffix not in suffixes:
        known = " or ".join(suffix for suffix in suffixes if suffix)
        raise InputError(option, str(path), f"is written as {known}", f"give a name that ends in {known}")
    if path.exists() and not path.is_file():
        what = "a directory" if path.is_dir() else "no regular file"
        raise InputError(option, str(path), f"is {what}", "give the name of a file")
    _require_writable(Path(os.path.realpath(path)).parent, path, option)
    return path


def folder(path: str | Path, option: str = "--output") -> Path:
    """A folder to write to; it may be missing, the one that it lies in not.

    Raises:
        InputError: a file, or a folder that is missing or read-only.
    """
    path = Path(path)
    if os.path.lexists(path) and not path.is_dir():
        raise InputError(option, str(path), "is no directory", "give a new or another directory")
    _require_writable(path if path.exists() else path.absolute().parent, path, option)
    return path


def one(paths: Sequence[Path], option: str = "--output") -> Path | None:
    """The only place for something that is written once; None without any.

    Raises:
        InputError: there are several.
    """
    if len(paths) > 1:
        raise InputError(option, str(paths[1]), f"{paths[0]} takes it already", "leave one of the two out")
    return paths[0] if paths else None


def save_array(path: str | Path, values: np.ndarray) -> None:
    """Writes a .npy file, as a whole and under the name that was given: `np.save` would append a suffix."""
    import numpy as np

    content = io.BytesIO()
    np.save(content, values)
    write_whole(path, content.getvalue())


def _require_writable(parent: Path, path: Path, option: str) -> None:
    if not parent.is_dir():
        raise InputError(option, str(path), f"there is no directory {str(parent)!r}", "make it first")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise InputError(option, str(path), f"{str(parent)!r} cannot be written to", "give another place")
