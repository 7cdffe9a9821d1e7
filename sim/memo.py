"""Totals of networks on machines, remembered in a folder by what they depend on.

A file holds what one process found; it appears whole or not at all (`sim.files.write_whole`), under a name of its
own, so that any number of processes write at a time. A file that does not hold what its checksum says is left out.
"""

from __future__ import annotations

import json
from functools import cache
from hashlib import blake2b, sha256
from importlib.resources import files
from pathlib import Path

from sim.errors import InputError
from sim.files import write_whole
from sim.results import Totals

_CHECK = 32
"""Bytes of a file's checksum, in front."""


@cache
def version() -> str:
    """Of all modules of `sim`, by name and content: what another version found is not taken."""
    root = Path(str(files("sim")))
    modules = sorted((path for path in root.rglob("*") if path.suffix in (".py", ".toml", ".csv")), key=str)
    content = b"".join(str(path.relative_to(root)).encode() + path.read_bytes() for path in modules)
    return sha256(content).hexdigest()[:16]


class Memo:
    """What a folder remembers.

    Attributes:
        hits: how often it knew.
    """

    def __init__(self, folder: Path) -> None:
        """Reads what is there.

        Raises:
            InputError: the folder cannot be made or read.
        """
        self.hits = 0
        self._folder = folder / version()
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            found = sorted(self._folder.glob("*.json"))
        except OSError as error:
            raise InputError("memo", str(folder), error.strerror or str(error), "give a folder") from None
        self._known: dict[str, Totals] = {}
        self._fresh: dict[str, Totals] = {}
        for path in found:
            self._known |= _read(path)

    def get(self, key: bytes) -> Totals | None:
        found = self._known.get(key.hex())
        self.hits += found is not None
        return found

    def put(self, key: bytes, totals: Totals) -> None:
        """Remembers it here; in the folder with `write`."""
        self._known[key.hex()] = self._fresh[key.hex()] = totals

    def write(self) -> None:
        """Writes what is new, if anything.

        Raises:
            InputError: the folder cannot be written.
        """
        if not self._fresh:
            return
        rows = {
            key: [totals.macs, totals.cycles, totals.tokens, totals.accesses, totals.mapping_gap.hex()]
            for key, totals in sorted(self._fresh.items())
        }
        content = json.dumps(rows).encode()
        check = blake2b(content, digest_size=_CHECK).digest()
        path = self._folder / f"{check.hex()[:32]}.json"
        try:
            write_whole(path, check + content)
        except OSError as error:
            raise InputError("memo", str(path), error.strerror or str(error), "give a folder") from None
        self._fresh.clear()


@cache
def _read(path: Path) -> dict[str, Totals]:
    """What a file holds; nothing where it is damaged. A name stands for one content."""
    try:
        found = path.read_bytes()
    except OSError:
        return {}
    check, content = found[:_CHECK], found[_CHECK:]
    if blake2b(content, digest_size=_CHECK).digest() != check:
        return {}
    return {
        key: Totals(macs, cycles, tokens, accesses, float.fromhex(gap))
        for key, (macs, cycles, tokens, accesses, gap) in json.loads(content).items()
    }
