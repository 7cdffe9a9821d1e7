"""The JSON header of a network file; published as `docs/network.schema.json`."""

from __future__ import annotations

from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import cache, reduce
from operator import or_
from types import NoneType, UnionType
from typing import Annotated, Any, ClassVar, Literal, Union, get_args, get_origin, get_type_hints

import numpy as np
from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    SerializeAsAny,
    SerializerFunctionWrapHandler,
    Tag,
    create_model,
    model_serializer,
)

from sim.network import KINDS, Layer, Weight
from sim.network.layers.fields import Int8, Map, Presence, Stored

SCHEMA_VERSION: Literal[1] = 1


class Header(BaseModel):
    """`OPTIONAL` fields are written only where they differ from the default: a file without them
    stays byte for byte what earlier versions wrote, and they read it."""

    model_config = ConfigDict(extra="forbid")
    OPTIONAL: ClassVar[tuple[str, ...]] = ()

    @model_serializer(mode="wrap")
    def _short(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields = type(self).model_fields
        return {
            name: value
            for name, value in handler(self).items()
            if name not in self.OPTIONAL or getattr(self, name) != fields[name].default
        }


class DenseHeader(Header):
    """Tensor `LAYER.weight`: int8 [K, C/groups, Ky, Kx]."""

    format: Literal["dense"] = "dense"


class CodebookHeader(Header):
    """Tensors `LAYER.assignments` (uint16) and, with a mask, `LAYER.mask_codes` (uint16) or, with signs,
    `LAYER.signs` (uint16 or uint32)."""

    OPTIONAL = ("signs", "codebook_sha256")
    format: Literal["codebook"] = "codebook"
    codebook: str = Field(description="name of the int8 [k, d] tensor; layers may share it")
    keep: int = Field(0, ge=0, description="N of N:M, 0 without a mask")
    group: int = Field(0, ge=0, description="M of N:M, 0 without a mask")
    signs: bool = Field(False, description="bit j of a word of LAYER.signs: element j is negative")
    codebook_sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None = Field(
        None,
        description="of the universal codebook: k and d as little-endian uint32, then its bytes; it "
        "is tensor `codebook` of the file <first 16 digits>.codebook.safetensors beside this one",
    )


class FormatHeader(Header):
    """A weight format that has neither of these headers: tensors `LAYER.FIELD`, the arrays of its class in
    `sim.network.WEIGHTS`."""

    format: str = Field(
        description="its name in `sim.formats`", json_schema_extra={"not": {"enum": ["dense", "codebook"]}}
    )
    fields: dict[str, int] = Field({}, description="the fields that are no arrays")


def _weight_header(weight: Any) -> str:
    name = weight.get("format") if isinstance(weight, dict) else getattr(weight, "format", "")
    return name if name in ("dense", "codebook") else "format"


WeightHeader = (
    Annotated[DenseHeader, Tag("dense")]
    | Annotated[CodebookHeader, Tag("codebook")]
    | Annotated[FormatHeader, Tag("format")]
)


class InputHeader(Header):
    """The network's input: real = scale * (q - zero_point)."""

    shape: Map
    scale: float = Field(gt=0, allow_inf_nan=False)
    zero_point: Int8 = 0


class StepHeader(Header):
    """What one step has other than step 0, beside the tensors `LAYER.part@STEP`."""

    input: InputHeader
    layers: dict[str, dict[str, Any]] = Field({}, description="fields by layer")
    metadata: dict[str, Any] = {}


class NetworkHeader(Header):
    """Header of a Codeword network file."""

    OPTIONAL = ("steps",)
    schema_version: Literal[1] = SCHEMA_VERSION
    name: str
    input: InputHeader
    layers: list[SerializeAsAny[Header]]
    metadata: dict[str, Any] = Field(default_factory=dict, description="free: provenance, accuracy")
    steps: list[StepHeader] = Field([], description="parameters of steps 1, 2, ... on the same weights")


@dataclass(frozen=True)
class FileField:
    """A field of a layer kind, or of a part of one, as the file has it.

    Attributes:
        declared: its type without marks.
        marks: what `Annotated` adds to it: bounds and a description for the header.
        default: of the dataclass, or `MISSING`.
        stored: type of the tensor `LAYER.field`; None for a field of the header.
        part: the dataclass of a field that has fields of its own.
        optional: the value may be None.
        presence: when the header has the field.
    """

    name: str
    declared: Any
    marks: tuple[Any, ...]
    default: Any
    stored: type[np.generic] | None
    part: Any
    optional: bool
    presence: Presence | None

    @property
    def is_weight(self) -> bool:
        return bool(self.declared == Weight)

    @property
    def in_header(self) -> bool:
        """Of a tensor the header says only whether it is there, if it need not be."""
        return self.stored is None or self.optional


@cache
def file_fields(kind: Any) -> tuple[FileField, ...]:
    """What the file has of a layer kind or part, a dataclass, in the order of its fields."""
    hints = get_type_hints(kind, include_extras=True)
    return tuple(_file_field(field.name, hints[field.name], field.default) for field in fields(kind))


def _file_field(name: str, hint: Any, default: Any) -> FileField:
    marks = getattr(hint, "__metadata__", ())
    declared = get_args(hint)[0] if marks else hint
    types = get_args(declared) if get_origin(declared) in (Union, UnionType) else (declared,)
    parts = [t for t in types if isinstance(t, type) and is_dataclass(t)]
    return FileField(
        name,
        declared,
        marks=tuple(mark for mark in marks if not isinstance(mark, Stored | Presence)),
        default=default,
        stored=next((mark.dtype for mark in marks if isinstance(mark, Stored)), None),
        part=parts[0] if parts and declared != Weight else None,
        optional=NoneType in types,
        presence=next((mark for mark in marks if isinstance(mark, Presence)), None),
    )


@cache
def header(kind: Any) -> type[Header]:
    """Header of a layer kind or part, in the order of the published schema: zero point and clamp of an
    output, the name of the kind, the other fields of the dataclass."""
    said = {field.name: _declaration(field) for field in file_fields(kind) if field.in_header}
    output = ("zero_point", "low", "high") if "low" in said else ()
    ordered = {name: said.pop(name) for name in output}
    if issubclass(kind, Layer):
        ordered["kind"] = (Literal[kind.kind], kind.kind)
    named: dict[str, Any] = ordered | said
    model = create_model(f"{kind.__name__}Header", __base__=Header, __doc__=kind.summary, **named)
    model.OPTIONAL = tuple(f.name for f in file_fields(kind) if f.presence is Presence.SPARING)
    return model


def _declaration(field: FileField) -> tuple[Any, Any]:
    """Type and default of a field in the header."""
    declared, marks, default = field.declared, field.marks, field.default
    if field.stored:
        declared, default = bool, False
    elif field.is_weight:
        declared, marks = WeightHeader, (Discriminator(_weight_header),)
    elif field.part:
        declared = header(field.part) | None if field.optional else header(field.part)
    required = default is MISSING or field.presence is Presence.REQUIRED
    return Annotated[(declared, *marks)] if marks else declared, ... if required else default


def network_header() -> type[NetworkHeader]:
    """Header of a network file, with the layers of all `KINDS`."""
    return _network_header(tuple(KINDS.values()))


@cache
def _network_header(kinds: tuple[type[Layer], ...]) -> type[NetworkHeader]:
    layer: Any = Annotated[reduce(or_, map(header, kinds)), Field(discriminator="kind")]
    layers: Any = (list[layer], ...)
    return create_model("NetworkHeader", __base__=NetworkHeader, __doc__=NetworkHeader.__doc__, layers=layers)


def json_schema() -> dict[str, Any]:
    """JSON schema of the header."""
    return network_header().model_json_schema()
