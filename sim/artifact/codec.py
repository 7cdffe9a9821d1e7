"""Layers to headers and tensors, and back."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import Any

import numpy as np

from sim import network
from sim.artifact.header import (
    AddHeader,
    AveragePoolHeader,
    CodebookHeader,
    ConcatHeader,
    ConvHeader,
    DenseHeader,
    FormatHeader,
    LayerHeader,
    LayerNormHeader,
    MatMulHeader,
    MultiplyHeader,
    PoolHeader,
    RequantizationHeader,
    ReshapeHeader,
    ScanHeader,
    SoftmaxHeader,
    TableHeader,
    UpsampleHeader,
)
from sim.errors import InputError
from sim.formats import named
from sim.network import CodebookWeight, Conv, DenseWeight, Layer, Requantization

_KINDS: dict[type, tuple[type, dict[str, type[np.generic]]]] = {
    # layer: its header, which has the fields of the same names, and the fields that are tensors
    network.MatMul: (MatMulHeader, {}),
    network.Add: (AddHeader, {}),
    network.AveragePool: (AveragePoolHeader, {}),
    network.Pool: (PoolHeader, {}),
    network.Concat: (ConcatHeader, {}),
    network.Upsample: (UpsampleHeader, {}),
    network.Reshape: (ReshapeHeader, {}),
    network.Table: (TableHeader, {"table": np.int8}),
    network.Multiply: (MultiplyHeader, {}),
    network.Softmax: (SoftmaxHeader, {"table": np.uint16}),
    network.LayerNorm: (LayerNormHeader, {"gain": np.int16, "bias": np.int32}),
    network.Scan: (ScanHeader, {"decay": np.uint16, "table": np.uint16, "skip": np.int32}),
}
_LAYERS = {header: (layer, tensors) for layer, (header, tensors) in _KINDS.items()}


def codebook_hash(codebook: np.ndarray) -> str:
    """SHA-256 of int8 [k, d]: k and d as little-endian uint32, then the bytes."""
    size = np.array(codebook.shape, "<u4").tobytes()
    return hashlib.sha256(size + codebook.astype(np.int8).tobytes()).hexdigest()


@dataclass
class Writer:
    """Collects the tensors of one file.

    Attributes:
        tensors: by name, in the order of writing.
        universal: universal codebooks by hash, which go to files of their own.
    """

    tensors: dict[str, np.ndarray] = field(default_factory=dict)
    universal: dict[str, np.ndarray] = field(default_factory=dict)
    _codebooks: dict[tuple[tuple[int, ...], bytes], str] = field(default_factory=dict)

    def layer(self, layer: Layer) -> LayerHeader:
        if isinstance(layer, Conv):
            return self._conv(layer)
        header, arrays = _KINDS[type(layer)]
        values = {f.name: getattr(layer, f.name) for f in fields(layer)}
        for name in arrays:
            self.tensors[f"{layer.name}.{name}"] = values.pop(name)
        return header(**values)

    def _conv(self, layer: Conv) -> ConvHeader:
        weight = self._weight(layer.name, layer.weight)
        self.tensors[f"{layer.name}.bias"] = layer.bias
        requantization = None
        if (q := layer.requantization) is not None:
            requantization = RequantizationHeader(
                zero_point=q.zero_point,
                low=q.low,
                high=q.high,
                table=q.table is not None,
                table_zero_point=q.table_zero_point,
            )
            self.tensors[f"{layer.name}.multiplier"] = q.multiplier
            self.tensors[f"{layer.name}.shift"] = q.shift
            if q.table is not None:
                self.tensors[f"{layer.name}.table"] = q.table
        return ConvHeader(
            name=layer.name,
            input=layer.input,
            weight=weight,
            stride=layer.stride,
            padding=layer.padding,
            requantization=requantization,
            groups=layer.groups,
            dilation=layer.dilation,
        )

    def _weight(self, name: str, weight: network.Weight) -> DenseHeader | CodebookHeader | FormatHeader:
        if type(weight) is DenseWeight:
            self.tensors[f"{name}.weight"] = weight.values
            return DenseHeader()
        if type(weight) is not CodebookWeight:
            return self._other_weight(name, weight)
        digest = None
        if weight.universal:
            digest, place = codebook_hash(weight.codebook), "codebook"
            self.universal[digest] = weight.codebook
        else:
            key = (weight.codebook.shape, weight.codebook.tobytes())
            if key not in self._codebooks:
                self._codebooks[key] = f"{name}.codebook"
                self.tensors[self._codebooks[key]] = weight.codebook
            place = self._codebooks[key]
        self.tensors[f"{name}.assignments"] = weight.assignments
        if weight.mask_codes is not None:
            self.tensors[f"{name}.mask_codes"] = weight.mask_codes
        if weight.signs is not None:
            self.tensors[f"{name}.signs"] = weight.signs
        return CodebookHeader(
            codebook=place,
            keep=weight.keep,
            group=weight.group,
            signs=weight.signs is not None,
            codebook_sha256=digest,
        )

    def _other_weight(self, name: str, weight: network.Weight) -> FormatHeader:
        found = {f.name: getattr(weight, f.name) for f in fields(weight)}
        arrays = {key: value for key, value in found.items() if isinstance(value, np.ndarray)}
        self.tensors |= {f"{name}.{key}": array for key, array in arrays.items()}
        rest = {key: int(value) for key, value in found.items() if key not in arrays and value is not None}
        return FormatHeader(format=weight.format, fields=rest)


@dataclass(frozen=True)
class Reader:
    """Layers from the tensors of one file.

    Attributes:
        universal: gives a universal codebook by its hash.
    """

    tensors: Mapping[str, np.ndarray]
    universal: Callable[[str], np.ndarray]

    def layer(self, header: LayerHeader) -> Layer:
        """Raises InputError where tensors are missing or make no valid layer."""
        if isinstance(header, ConvHeader):
            return self._conv(header)
        layer, arrays = _LAYERS[type(header)]
        values: dict[str, Any] = {name: getattr(header, name) for name in type(header).model_fields}
        del values["kind"]
        for name, dtype in arrays.items():
            values[name] = self._tensor(f"{header.name}.{name}", dtype)
        return layer(**values)  # type: ignore[no-any-return]

    def _conv(self, header: ConvHeader) -> Conv:
        name, out = header.name, header.requantization
        requantization = None
        if out is not None:
            table = self._tensor(f"{name}.table", np.int8) if out.table else None
            requantization = Requantization(
                self._tensor(f"{name}.multiplier", np.uint16),
                self._tensor(f"{name}.shift", np.uint8),
                out.zero_point,
                out.low,
                out.high,
                table,
                out.table_zero_point,
            )
        return Conv(
            name,
            header.input,
            self._weight(name, header.weight),
            self._tensor(f"{name}.bias", np.int32),
            header.stride,
            header.padding,
            requantization,
            header.groups,
            header.dilation,
        )

    def _weight(self, name: str, header: DenseHeader | CodebookHeader | FormatHeader) -> network.Weight:
        if isinstance(header, DenseHeader):
            return DenseWeight(self._tensor(f"{name}.weight", np.int8))
        if isinstance(header, FormatHeader):
            return self._other_weight(name, header)
        digest = header.codebook_sha256
        codebook = self.universal(digest) if digest else self._tensor(header.codebook, np.int8)
        if codebook.ndim != 2:
            raise InputError(
                header.codebook, list(codebook.shape), "a codebook is [k, d]", "export the network again"
            )
        masks = self._tensor(f"{name}.mask_codes", np.uint16) if header.group else None
        signs = self._tensor(f"{name}.signs", np.uint16, np.uint32) if header.signs else None
        return CodebookWeight(
            codebook,
            self._tensor(f"{name}.assignments", np.uint16),
            masks,
            header.keep,
            header.group,
            signs,
            digest is not None,
        )

    def _other_weight(self, name: str, header: FormatHeader) -> network.Weight:
        kind = network.WEIGHTS[named(header.format).weight]
        arrays = {
            f.name: self.tensors[key] for f in fields(kind) if (key := f"{name}.{f.name}") in self.tensors
        }
        absent = {f.name for f in fields(kind) if f.default is MISSING} - {*arrays, *header.fields}
        if absent:
            self._tensor(f"{name}.{min(absent)}")
        return kind(**arrays, **header.fields)  # type: ignore[arg-type]

    def _tensor(self, name: str, *dtypes: type[np.generic]) -> np.ndarray:
        if name not in self.tensors:
            raise InputError(name, None, "the file has no such tensor", "export the network again")
        tensor = self.tensors[name]
        if tensor.dtype not in dtypes:
            broken = tensor.dtype.kind == "f" and not np.isfinite(tensor).all()
            problem = "holds NaN or infinity and" if broken else "has the wrong type:"
            wanted = " or ".join(str(np.dtype(dtype)) for dtype in dtypes)
            raise InputError(
                name,
                str(tensor.dtype),
                f"{problem} must be {wanted}",
                "quantize finite weights to integers before the export",
            )
        return tensor
