"""Layers to headers and tensors, and back."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import MISSING, dataclass, field, fields
from typing import Any

import numpy as np

from sim import network
from sim.artifact.header import CodebookHeader, DenseHeader, FormatHeader, Header, file_fields, header
from sim.errors import InputError
from sim.formats import named
from sim.network import KINDS, CodebookWeight, DenseWeight, Layer


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

    def layer(self, layer: Layer) -> Header:
        """Raises InputError where `KINDS` has no such kind, so that nobody could read the file."""
        if KINDS.get(layer.kind) is not type(layer):
            where = "sim.network.layers.KINDS"
            raise InputError(
                f"{layer.name}.kind", layer.kind, f"unknown to the network file, {where}", "add it there"
            )
        return self._part(layer.name, layer)

    def _part(self, name: str, part: object) -> Header:
        """Header of a layer or a part of one, whose tensors are kept under the layer's name."""
        kind: Any = type(part)
        values: dict[str, Any] = {}
        for entry in file_fields(kind):
            value = getattr(part, entry.name)
            if entry.stored:
                if value is not None:
                    self.tensors[f"{name}.{entry.name}"] = value
                value = value is not None
            elif entry.is_weight:
                value = self._weight(name, value)
            elif entry.part and value is not None:
                value = self._part(name, value)
            if entry.in_header:
                values[entry.name] = value
        return header(kind)(**values)

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


@contextmanager
def _of(layer: str) -> Iterator[None]:
    """An error of a weight or of a requantization says of which layer."""
    try:
        yield
    except InputError as error:
        raise error if error.field.startswith(f"{layer}.") else error.within(f"{layer}.") from None


@dataclass(frozen=True)
class Reader:
    """Layers from the tensors of one file.

    Attributes:
        universal: gives a universal codebook by its hash.
    """

    tensors: Mapping[str, np.ndarray]
    universal: Callable[[str], np.ndarray]

    def layer(self, header: Header) -> Layer:
        """Raises InputError where tensors are missing or make no valid layer."""
        said: Any = header
        layer: Layer = self._part(said.name, KINDS[said.kind], header)
        return layer

    def _part(self, name: str, kind: Any, header: Header) -> Any:
        """A layer, or a part of one, from its header and the tensors of the layer's name."""
        values: dict[str, Any] = {}
        for entry in file_fields(kind):
            value: Any = getattr(header, entry.name) if entry.in_header else True
            if entry.stored:
                value = self._tensor(f"{name}.{entry.name}", entry.stored) if value else None
            elif entry.is_weight:
                value = self._weight(name, value)
            elif entry.part and value is not None:
                value = self._part(name, entry.part, value)
            values[entry.name] = value
        with _of(name):
            return kind(**values)

    def _weight(self, name: str, header: DenseHeader | CodebookHeader | FormatHeader) -> network.Weight:
        if isinstance(header, DenseHeader):
            with _of(name):
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
        assignments = self._tensor(f"{name}.assignments", np.uint16)
        with _of(name):
            return CodebookWeight(
                codebook, assignments, masks, header.keep, header.group, signs, digest is not None
            )

    def _other_weight(self, name: str, header: FormatHeader) -> network.Weight:
        kind = network.WEIGHTS[named(header.format).weight]
        arrays = {
            f.name: self.tensors[key] for f in fields(kind) if (key := f"{name}.{f.name}") in self.tensors
        }
        absent = {f.name for f in fields(kind) if f.default is MISSING} - {*arrays, *header.fields}
        if absent:
            self._tensor(f"{name}.{min(absent)}")
        unknown = sorted(header.fields.keys() - {f.name for f in fields(kind)})
        if unknown:
            raise InputError(f"{name}.{unknown[0]}", header.fields[unknown[0]], "unknown", "take it out")
        with _of(name):
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
