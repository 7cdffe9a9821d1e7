"""A directory in which an export shares the place with files of the user.

The manifest lists what the last export wrote, by name and SHA-256. A file that is not listed, or that is
no longer what was written, is the user's and stays as it is.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sim.errors import InputError
from sim.files import write_json

MANIFEST = "codeword_export.json"
_ABOUT = "files that codeword wrote here, with their SHA-256; it changes and removes no others"


@dataclass(frozen=True)
class Manifest:
    """What an export owns.

    Attributes:
        files: SHA-256 by name.
        before: that of the export before, as long as the files of this one are still being put in their
            places: a file may then be either, so that an interrupted export can be repeated.
        staging: folder of the new files meanwhile.
        machine: fields of the accelerator that the files are of.
    """

    files: Mapping[str, str]
    before: Mapping[str, str] = field(default_factory=dict)
    staging: str = ""
    machine: Mapping[str, object] = field(default_factory=dict)

    def names(self) -> set[str]:
        return {*self.files, *self.before}

    def wrote(self, path: Path) -> bool:
        """Whether a file is still as an export left it."""
        return hash_of(path.read_bytes()) in (self.files.get(path.name), self.before.get(path.name))

    def write(self, directory: Path, name: str) -> None:
        under_way = {"before": dict(self.before), "staging": self.staging} if self.staging else {}
        owned = {"about": _ABOUT, "machine": dict(self.machine), "files": dict(self.files)}
        write_json(directory / name, owned | under_way)


def write(
    directory: str | Path,
    contents: Mapping[str, str | bytes],
    *,
    machine: Mapping[str, object] | None = None,
    force: bool = False,
    manifest: str = MANIFEST,
) -> None:
    """Writes an export's files, each as a whole, and removes those of the last one that it no longer has.

    Until all are staged nothing changes. The manifest is written before the first file moves, with the
    hashes of both exports, and again after the last one.

    Args:
        directory: made where it is missing.
        contents: by plain file name, text in UTF-8.
        machine: fields of the accelerator that they are of.
        force: also replace files that were edited or are not an export's. Links and folders never are.
        manifest: its name; exports with manifests of their own share a directory.

    Raises:
        InputError: a file in the way, by name.
    """
    directory = Path(directory)
    if os.path.lexists(directory) and not directory.is_dir():
        raise InputError("directory", str(directory), "is no directory", "give a new or another one")
    data = {name: text.encode() if isinstance(text, str) else text for name, text in contents.items()}
    new = {name: hash_of(content) for name, content in data.items()}
    old = read(directory, force=force, manifest=manifest)
    for name in new:
        _require_free(directory / name, old, new[name], force)
    made = not directory.exists()
    directory.mkdir(parents=True, exist_ok=True)
    try:
        staging = Path(tempfile.mkdtemp(prefix=".codeword_export-", dir=directory))
        try:
            for name, content in data.items():
                (staging / name).write_bytes(content)
            Manifest(new, {**old.before, **old.files}, staging.name, machine or {}).write(directory, manifest)
            for name in data:
                os.replace(staging / name, directory / name)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    except BaseException:
        if made and not any(directory.iterdir()):
            directory.rmdir()
        raise
    for name in sorted(old.names() - {*new, manifest}):
        path = directory / name
        if path.is_file() and not path.is_symlink() and old.wrote(path):
            path.unlink()
    if old.staging:
        shutil.rmtree(directory / old.staging, ignore_errors=True)
    Manifest(new, machine=machine or {}).write(directory, manifest)


def read(directory: Path, *, force: bool = False, manifest: str = MANIFEST) -> Manifest:
    """The manifest of a directory, an empty one where there is none.

    Args:
        force: take one that cannot be read for none.

    Raises:
        InputError: a link, or not what an export writes.
    """
    path = directory / manifest
    if not path.is_symlink():
        if not path.exists():
            return Manifest({})
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            files, before = (_hashes(found.get(key, {})) for key in ("files", "before"))
            return Manifest(files, before, _staging(found.get("staging", "")))
        except (OSError, ValueError, AttributeError, RecursionError):
            if force and path.is_file():
                return Manifest({})
    raise InputError(
        "directory",
        str(directory),
        f"its {manifest} is not what an export wrote",
        "move it away, or give another directory",
    )


def hash_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _hashes(found: object) -> dict[str, str]:
    """Of a manifest, which anybody may have edited: it must not reach outside its directory."""
    if not isinstance(found, dict) or not all(
        isinstance(digest, str) and _plain(name) for name, digest in found.items()
    ):
        raise ValueError
    return found


def _staging(name: object) -> str:
    if name and not (isinstance(name, str) and name.startswith(".codeword_export-") and _plain(name)):
        raise ValueError
    return str(name)


def _plain(name: str) -> bool:
    return name not in ("", ".", "..") and not {"/", "\\", "\0"} & set(name)


def _require_free(path: Path, old: Manifest, new: str, force: bool) -> None:
    """Raises InputError where a file stands in the way that the export may not replace."""
    if path.is_symlink() or (path.exists() and not path.is_file()):
        what = "a link" if path.is_symlink() else "no file"
        raise InputError(
            "directory", str(path), f"is {what} and in the way of the export", "move it, or give another one"
        )
    if force or not path.exists() or old.wrote(path) or hash_of(path.read_bytes()) == new:
        return
    edited = path.name in old.names()
    raise InputError(
        "directory",
        str(path),
        "was edited since it was exported" if edited else "is no export's and in the way of the export",
        "keep it under another name, give another directory, or replace it with --force",
    )
