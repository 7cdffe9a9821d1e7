"""The network file: one safetensors file, tensors beside a JSON header.

The header is the single metadata entry `codeword`; `json_schema` describes it and is published
as `docs/network.schema.json`. Tensors are named `LAYER.part`. Layers that share one codebook name
the same tensor, and it is stored once. A universal codebook, which networks share, lies beside the
network in `<first 16 digits of its SHA-256>.codebook.safetensors`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError
from pydantic_core import ErrorDetails
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as to_bytes

from sim.artifact import steps
from sim.artifact.codec import Reader, Writer, codebook_hash
from sim.artifact.header import SCHEMA_VERSION, InputHeader, NetworkHeader, json_schema, network_header
from sim.errors import InputError, nearest
from sim.files import write_whole
from sim.names import NAME
from sim.network import KINDS, Network, TensorSpec

__all__ = ["SCHEMA_VERSION", "json_schema", "load", "save", "save_steps", "step_count"]

_ENTRY = "codeword"


def save(network: Network, path: str | Path) -> None:
    """Writes a network file; a reader sees the old file or the whole new one.

    Equal networks give equal bytes. A universal codebook is written beside the file unless a whole
    copy is there.
    """
    save_steps([network], path)


def save_steps(networks: Sequence[Network], path: str | Path) -> None:
    """Writes the networks of all steps, which share layers and weights, into one file.

    Raises:
        InputError: none, or one with other layers or weights than the first.
    """
    if not networks:
        raise InputError("steps", 0, "no networks", "give the network of each step")
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    writer, fields = _packed(networks[0])
    tensors, bank = dict(writer.tensors), []
    for number, network in enumerate(networks[1:], 1):
        other, said = _packed(network)
        entry, own = steps.apart(fields, writer.tensors, said, other.tensors, number)
        bank.append(entry)
        tensors.update(own)
    if bank:
        fields["steps"] = bank
    text = json.dumps(fields, separators=(",", ":"), sort_keys=True)
    contiguous = {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}
    for digest, codebook in writer.universal.items():
        place = _codebook_path(path, digest)
        try:
            _read_codebook(place, digest)
        except InputError:
            write_whole(place, to_bytes({"codebook": np.ascontiguousarray(codebook)}))
    write_whole(path, to_bytes(contiguous, {_ENTRY: text}))


def _packed(network: Network) -> tuple[Writer, dict[str, Any]]:
    """Tensors and header of a network."""
    writer = Writer()
    layers = [writer.layer(layer) for layer in network.layers]
    source = network.input
    header = network_header()(
        name=network.name,
        input=InputHeader(shape=source.shape, scale=source.scale, zero_point=source.zero_point),
        layers=layers,
        metadata=dict(network.metadata),
    )
    return writer, header.model_dump(mode="json")


def load(path: str | Path, step: int = 0) -> Network:
    """Reads and validates a network file.

    Args:
        step: of a file that holds the parameters of several.

    Raises:
        InputError: the file is missing, truncated, of another schema version, has no such step, its universal
            codebook is missing or another one, or its tensors do not make a valid `Network`.
    """
    metadata, tensors = _read(path, "network")
    try:
        fields, own = steps.chosen(_fields(metadata), tensors, step)
        header = _parse(fields)
        _check_metadata(header.metadata)
        return _network(header, own, path)
    except InputError as error:
        raise error.within(f"{path}: ") from None


def step_count(path: str | Path) -> int:
    """How many steps a network file holds, 1 of one network.

    Raises:
        InputError: as `load`.
    """
    return steps.count(_fields(_read(path, "network")[0]))


def _network(header: NetworkHeader, tensors: Mapping[str, np.ndarray], path: str | Path) -> Network:
    source = header.input
    codebooks: dict[str, np.ndarray] = {}

    def universal(digest: str) -> np.ndarray:
        if digest not in codebooks:
            codebooks[digest] = _read_codebook(_codebook_path(path, digest), digest)
        return codebooks[digest]

    reader = Reader(tensors, universal)
    return Network(
        name=header.name,
        input=TensorSpec(source.shape, source.scale, source.zero_point),
        layers=tuple(reader.layer(layer) for layer in header.layers),
        metadata=header.metadata,
    )


def _read(path: str | Path, what: str) -> tuple[dict[str, str], dict[str, np.ndarray]]:
    """Metadata and tensors of a safetensors file."""
    try:
        with safe_open(path, framework="numpy") as file:
            return file.metadata() or {}, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except OSError as error:
        raise InputError(
            what, str(path), error.strerror or str(error), "give a readable .safetensors file"
        ) from None
    except SafetensorError as error:
        raise InputError(
            what, str(path), f"truncated or not a safetensors file ({error})", "write the file again"
        ) from None


def _codebook_path(path: str | Path, digest: str) -> Path:
    return Path(path).parent / f"{digest[:16]}.codebook.safetensors"


def _read_codebook(path: Path, digest: str) -> np.ndarray:
    if not path.exists():
        raise InputError(
            "universal codebook",
            str(path),
            "No such file",
            "copy the codebook file that was written beside the network",
        )
    _, tensors = _read(path, "universal codebook")
    codebook = tensors.get("codebook")
    if codebook is None or codebook.dtype != np.int8 or codebook_hash(codebook) != digest:
        raise InputError(
            "universal codebook",
            str(path),
            f"is not the one with SHA-256 {digest}",
            "copy the codebook file that was written beside the network",
        )
    return codebook


def _fields(metadata: Mapping[str, str]) -> dict[str, Any]:
    """The header as it stands in the file."""
    text = metadata.get(_ENTRY, "null")
    try:
        fields = json.loads(text)
    except RecursionError:
        raise InputError("header", text, "is nested too deeply", "export the network again") from None
    except ValueError as error:  # of JSON, or of a number with thousands of digits
        raise InputError("header", text, f"is not JSON: {error}", "export the network again") from None
    if not isinstance(fields, dict):
        raise InputError(
            "header",
            fields,
            "a safetensors file without a Codeword header",
            "export a network with sim.artifact",
        )
    version = fields.get("schema_version")
    if version != SCHEMA_VERSION:
        raise InputError(
            "schema_version", version, f"this version reads {SCHEMA_VERSION}", "export the network again"
        )
    return fields


def _parse(fields: dict[str, Any]) -> NetworkHeader:
    try:
        return network_header().model_validate_json(json.dumps(fields), strict=True)
    except ValidationError as error:
        raise _explained(error.errors()[0], fields) from None


def _explained(first: ErrorDetails, fields: dict[str, Any]) -> InputError:
    """What is wrong with a header, by the name of the layer where that has one."""
    where = [str(part) for part in first["loc"]]
    if first["type"] == "union_tag_invalid" and where[0] == "layers":
        kind = first["ctx"]["tag"]
        return InputError(f"layers.{where[1]}.kind", kind, "unknown", nearest(kind, KINDS))
    if where[:1] == ["layers"] and len(where) > 3:
        name = fields["layers"][int(where[1])].get("name")
        where[:3] = [name] if isinstance(name, str) and NAME.fullmatch(name) else where[:2]
    fix = "export the network again; `python -m sim.artifact` prints the schema of a header"
    return InputError(".".join(where) or "header", first.get("input"), first["msg"], fix)


def _check_metadata(metadata: Mapping[str, Any]) -> None:
    """Raises InputError where a network does not say of its weights what `simulate` prints."""
    synthetic, weights = metadata.get("synthetic", False), metadata.get("weights")
    if not isinstance(synthetic, bool):
        raise InputError("metadata.synthetic", synthetic, "must be true or false", "leave it out")
    if synthetic and not isinstance(weights, str):
        problem = "a synthetic network says here how its weights were drawn"
        raise InputError("metadata.weights", weights, problem, "write a text")
