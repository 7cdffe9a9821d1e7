"""What a record is made of, and which network it tells of, as content hashes."""

from __future__ import annotations

from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

from codeword.reports.zoo.modules import Entry
from sim import artifact
from sim.network import Network

_SOURCES = ("excerpts", "modules", "one", "settings", "synthetic")
"""Files of this folder that a figure depends on."""


def release(entry: Entry) -> str:
    """Of the package that the module comes from."""
    return version("codeword" if entry.package == "ours" else entry.package)


def made_of(entry: Entry) -> str:
    """SHA-256 of the entry, its package's version and what measures it; a record of another one is made again."""
    digest = sha256(f"{entry.name} {entry.extent} {release(entry)}".encode())
    for name in _SOURCES:
        digest.update(Path(__file__).with_name(f"{name}.py").read_bytes())
    return digest.hexdigest()


def content(network: Network) -> str:
    """SHA-256 of the network's file."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "network.safetensors"
        artifact.save(network, path)
        return sha256(path.read_bytes()).hexdigest()
