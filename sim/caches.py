"""Folders in which what took long to make is kept for the next process."""

from __future__ import annotations

import os
import tempfile
from functools import cache
from pathlib import Path


def user(kind: str) -> Path:
    """The user's cache of one kind of things, made where it is missing.

    In XDG_CACHE_HOME or ~/.cache; from a read-only home in a folder for temporary files; where that cannot be
    taken either, in one of this process alone.
    """
    base = os.environ.get("XDG_CACHE_HOME")
    try:
        folder = (Path(base) if base else Path.home() / ".cache") / "codeword" / kind
        folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK | os.X_OK):
            return folder
    except (OSError, RuntimeError):  # RuntimeError: a user without a home
        pass
    folder = Path(temporary() or _of_this_process()) / kind
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def temporary() -> str:
    """A folder for temporary files, this user's; "" where there is none.

    Code that is found there runs: a folder in which others can write is not taken.
    """
    try:
        folder = Path(tempfile.gettempdir()) / f"codeword-{os.getuid()}"
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError:
        return ""
    own = folder.is_dir() and not folder.is_symlink() and found.st_uid == os.getuid()
    return str(folder) if own and not found.st_mode & 0o022 else ""


@cache
def _of_this_process() -> str:
    return tempfile.mkdtemp(prefix="codeword-")
