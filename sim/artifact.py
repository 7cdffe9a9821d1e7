"""The network file: one safetensors file, tensors beside a JSON header.

The header is the single metadata entry `codeword`; `json_schema` describes it and is published
as `docs/network.schema.json`. Tensors are named `LAYER.part`. Layers that share one codebook name
the same tensor, and it is stored once.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as to_bytes

from sim.errors import InputError
from sim.network import (
    Add,
    AveragePool,
    CodebookWeight,
    Conv,
    DenseWeight,
    Layer,
    Network,
    Requantization,
    TensorSpec,
)

SCHEMA_VERSION: Literal[1] = 1
_ENTRY = "codeword"

Int8 = Annotated[int, Field(ge=-128, le=127)]
Positive = Annotated[int, Field(ge=1)]
Shift = Annotated[int, Field(ge=1, le=47)]
Multiplier = Annotated[int, Field(ge=0, lt=2**16)]


class _Header(BaseModel):
    model_config = ConfigDict(extra="forbid")


class DenseHeader(_Header):
    """Tensor `LAYER.weight`: int8 [K, C, Ky, Kx]."""

    format: Literal["dense"] = "dense"


class CodebookHeader(_Header):
    """Tensors `LAYER.assignments` (uint16) and, with a mask, `LAYER.mask_codes` (uint16)."""

    format: Literal["codebook"] = "codebook"
    codebook: str = Field(description="name of the int8 [k, d] tensor; layers may share it")
    keep: int = Field(0, ge=0, description="N of N:M, 0 without a mask")
    group: int = Field(0, ge=0, description="M of N:M, 0 without a mask")


class OutputHeader(_Header):
    """Zero point and clamp of an INT8 output."""

    zero_point: Int8 = 0
    low: Int8 = -128
    high: Int8 = 127


class ConvHeader(_Header):
    """Tensors `LAYER.bias` (int32) and, if requantized, `.multiplier` (uint16), `.shift` (uint8)."""

    kind: Literal["conv"] = "conv"
    name: str
    input: str
    weight: Annotated[DenseHeader | CodebookHeader, Field(discriminator="format")]
    stride: tuple[Positive, Positive]
    padding: tuple[Annotated[int, Field(ge=0)], Annotated[int, Field(ge=0)]]
    requantization: OutputHeader | None = Field(description="null: the layer emits acc + bias")


class AddHeader(OutputHeader):
    """Residual addition."""

    kind: Literal["add"] = "add"
    name: str
    inputs: tuple[str, str]
    multipliers: tuple[Multiplier, Multiplier]
    shift: Shift


class AveragePoolHeader(OutputHeader):
    """Global average pool; 1/(H W) is part of the multiplier."""

    kind: Literal["average_pool"] = "average_pool"
    name: str
    input: str
    multiplier: Multiplier
    shift: Shift


class InputHeader(_Header):
    """The network's input: real = scale * (q - zero_point)."""

    shape: tuple[Positive, Positive, Positive]
    scale: float = Field(gt=0, allow_inf_nan=False)
    zero_point: Int8 = 0


class NetworkHeader(_Header):
    """Header of a Codeword network file."""

    schema_version: Literal[1] = SCHEMA_VERSION
    name: str
    input: InputHeader
    layers: list[Annotated[ConvHeader | AddHeader | AveragePoolHeader, Field(discriminator="kind")]]
    metadata: dict[str, Any] = Field(default_factory=dict, description="free: provenance, accuracy")


def json_schema() -> dict[str, Any]:
    """JSON schema of the header."""
    return NetworkHeader.model_json_schema()


def save(network: Network, path: str | Path) -> None:
    """Writes a network file; a reader sees the old file or the whole new one.

    Equal networks give equal bytes.
    """
    tensors: dict[str, np.ndarray] = {}
    codebooks: dict[tuple[tuple[int, ...], bytes], str] = {}
    layers = [_write_layer(layer, tensors, codebooks) for layer in network.layers]
    source = network.input
    header = NetworkHeader(
        name=network.name,
        input=InputHeader(shape=source.shape, scale=source.scale, zero_point=source.zero_point),
        layers=layers, metadata=dict(network.metadata),
    )
    text = json.dumps(header.model_dump(mode="json"), separators=(",", ":"), sort_keys=True)
    contiguous = {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}
    _write_atomically(Path(path), to_bytes(contiguous, {_ENTRY: text}))


def load(path: str | Path) -> Network:
    """Reads and validates a network file.

    Raises:
        InputError: the file is missing, truncated, of another schema version, or its tensors do
            not make a valid `Network`.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except OSError as error:
        raise InputError("network", str(path), error.strerror or str(error),
                         "give a readable .safetensors file") from None
    except SafetensorError as error:
        raise InputError("network", str(path), f"truncated or not a safetensors file ({error})",
                         "write the file again") from None
    header = _parse(metadata, path)
    source = header.input
    return Network(
        name=header.name, input=TensorSpec(source.shape, source.scale, source.zero_point),
        layers=tuple(_read_layer(layer, tensors) for layer in header.layers),
        metadata=header.metadata,
    )


def _parse(metadata: Mapping[str, str], path: str | Path) -> NetworkHeader:
    try:
        fields = json.loads(metadata[_ENTRY])
        version = fields.get("schema_version")
    except (KeyError, AttributeError, json.JSONDecodeError):
        raise InputError("network", str(path), "a safetensors file without a Codeword header",
                         "export a network with sim.artifact.save") from None
    if version != SCHEMA_VERSION:
        raise InputError("schema_version", version, f"this version reads {SCHEMA_VERSION}",
                         "export the network again")
    try:
        return NetworkHeader.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise InputError(field, first.get("input"), first["msg"],
                         "see docs/network.schema.json") from None


def _write_layer(
    layer: Layer, tensors: dict[str, np.ndarray],
    codebooks: dict[tuple[tuple[int, ...], bytes], str],
) -> ConvHeader | AddHeader | AveragePoolHeader:
    if isinstance(layer, Add):
        return AddHeader(name=layer.name, inputs=layer.inputs, multipliers=layer.multipliers,
                         shift=layer.shift, **_output(layer))
    if isinstance(layer, AveragePool):
        return AveragePoolHeader(name=layer.name, input=layer.input, multiplier=layer.multiplier,
                                 shift=layer.shift, **_output(layer))
    weight: DenseHeader | CodebookHeader
    if isinstance(layer.weight, DenseWeight):
        weight = DenseHeader()
        tensors[f"{layer.name}.weight"] = layer.weight.values
    else:
        codebook = layer.weight.codebook
        key = (codebook.shape, codebook.tobytes())
        if key not in codebooks:
            codebooks[key] = f"{layer.name}.codebook"
            tensors[codebooks[key]] = codebook
        weight = CodebookHeader(codebook=codebooks[key], keep=layer.weight.keep,
                                group=layer.weight.group)
        tensors[f"{layer.name}.assignments"] = layer.weight.assignments
        if layer.weight.mask_codes is not None:
            tensors[f"{layer.name}.mask_codes"] = layer.weight.mask_codes
    tensors[f"{layer.name}.bias"] = layer.bias
    requantization = None
    if layer.requantization is not None:
        requantization = OutputHeader(**_output(layer.requantization))
        tensors[f"{layer.name}.multiplier"] = layer.requantization.multiplier
        tensors[f"{layer.name}.shift"] = layer.requantization.shift
    return ConvHeader(name=layer.name, input=layer.input, weight=weight, stride=layer.stride,
                      padding=layer.padding, requantization=requantization)


def _output(part: Add | AveragePool | Requantization) -> dict[str, int]:
    return {"zero_point": part.zero_point, "low": part.low, "high": part.high}


def _read_layer(
    header: ConvHeader | AddHeader | AveragePoolHeader, tensors: Mapping[str, np.ndarray]
) -> Layer:
    if isinstance(header, AddHeader):
        return Add(header.name, header.inputs, header.multipliers, header.shift,
                   header.zero_point, header.low, header.high)
    if isinstance(header, AveragePoolHeader):
        return AveragePool(header.name, header.input, header.multiplier, header.shift,
                           header.zero_point, header.low, header.high)
    name, out = header.name, header.requantization
    requantization = None
    if out is not None:
        requantization = Requantization(_tensor(tensors, f"{name}.multiplier", np.uint16),
                                        _tensor(tensors, f"{name}.shift", np.uint8),
                                        out.zero_point, out.low, out.high)
    return Conv(name, header.input, _read_weight(name, header.weight, tensors),
                _tensor(tensors, f"{name}.bias", np.int32), header.stride, header.padding,
                requantization)


def _read_weight(
    name: str, header: DenseHeader | CodebookHeader, tensors: Mapping[str, np.ndarray]
) -> DenseWeight | CodebookWeight:
    if isinstance(header, DenseHeader):
        return DenseWeight(_tensor(tensors, f"{name}.weight", np.int8))
    masks = _tensor(tensors, f"{name}.mask_codes", np.uint16) if header.group else None
    codebook = _tensor(tensors, header.codebook, np.int8)
    if codebook.ndim != 2:
        raise InputError(header.codebook, list(codebook.shape), "a codebook is [k, d]",
                         "export the network again")
    return CodebookWeight(codebook, _tensor(tensors, f"{name}.assignments", np.uint16), masks,
                          header.keep, header.group)


def _tensor(tensors: Mapping[str, np.ndarray], name: str, dtype: type[np.generic]) -> np.ndarray:
    if name not in tensors:
        raise InputError(name, None, "the file has no such tensor", "export the network again")
    tensor = tensors[name]
    if tensor.dtype != dtype:
        broken = tensor.dtype.kind == "f" and not np.isfinite(tensor).all()
        problem = "holds NaN or infinity and" if broken else "has the wrong type:"
        raise InputError(name, str(tensor.dtype), f"{problem} must be {np.dtype(dtype)}",
                         "quantize finite weights to integers before the export")
    return tensor


def _write_atomically(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=path.name, delete=False) as file:
        try:
            file.write(data)
            file.close()
            os.chmod(file.name, 0o644)
            os.replace(file.name, path)
        except BaseException:
            os.unlink(file.name)
            raise


if __name__ == "__main__":
    print(json.dumps(json_schema(), indent=2))
