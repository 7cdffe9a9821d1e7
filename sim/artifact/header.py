"""The JSON header of a network file; published as `docs/network.schema.json`."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    SerializerFunctionWrapHandler,
    Tag,
    model_serializer,
)

SCHEMA_VERSION: Literal[1] = 1

Int8 = Annotated[int, Field(ge=-128, le=127)]
Positive = Annotated[int, Field(ge=1)]
Natural = Annotated[int, Field(ge=0)]
Shift = Annotated[int, Field(ge=1, le=47)]
Multiplier = Annotated[int, Field(ge=0, lt=2**16)]
Pair = tuple[Positive, Positive]


class _Header(BaseModel):
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


class DenseHeader(_Header):
    """Tensor `LAYER.weight`: int8 [K, C/groups, Ky, Kx]."""

    format: Literal["dense"] = "dense"


class CodebookHeader(_Header):
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


class FormatHeader(_Header):
    """A weight format that has neither of these headers: tensors `LAYER.FIELD`, the arrays of its class in
    `sim.network.WEIGHTS`."""

    format: str = Field(
        description="its name in `sim.formats`", json_schema_extra={"not": {"enum": ["dense", "codebook"]}}
    )
    fields: dict[str, int] = Field({}, description="the fields that are no arrays")


def _weight_header(weight: Any) -> str:
    name = weight.get("format") if isinstance(weight, dict) else getattr(weight, "format", "")
    return name if name in ("dense", "codebook") else "format"


WeightHeader = Annotated[
    Annotated[DenseHeader, Tag("dense")]
    | Annotated[CodebookHeader, Tag("codebook")]
    | Annotated[FormatHeader, Tag("format")],
    Discriminator(_weight_header),
]


class OutputHeader(_Header):
    """Zero point and clamp of an INT8 output."""

    zero_point: Int8 = 0
    low: Int8 = -128
    high: Int8 = 127


class RequantizationHeader(OutputHeader):
    """With a table: tensor `LAYER.table` (int8 [256]), looked up at y + 128 after the clamp."""

    OPTIONAL = ("table", "table_zero_point")
    table: bool = False
    table_zero_point: Int8 = 0


class ConvHeader(_Header):
    """Tensors `LAYER.bias` (int32) and, if requantized, `.multiplier` (uint16), `.shift` (uint8)."""

    OPTIONAL = ("groups", "dilation")
    kind: Literal["conv"] = "conv"
    name: str
    input: str
    weight: WeightHeader
    stride: Pair
    padding: tuple[Natural, Natural]
    requantization: RequantizationHeader | None = Field(description="null: the layer emits acc + bias")
    groups: Positive = 1
    dilation: Pair = (1, 1)


class MatMulHeader(OutputHeader):
    """Product of two activations, head by head."""

    kind: Literal["matmul"] = "matmul"
    name: str
    inputs: tuple[str, str]
    heads: Positive
    transpose_b: bool = Field(description="true: Q K^T, false: A V")
    multiplier: Multiplier
    shift: Shift


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


class PoolHeader(OutputHeader):
    """Pooling over windows; multiplier and shift are of the average."""

    kind: Literal["pool"] = "pool"
    name: str
    input: str
    mode: Literal["max", "average"]
    kernel: Pair
    stride: Pair
    padding: tuple[Natural, Natural] = (0, 0)
    multiplier: Multiplier = 1
    shift: Shift = 1


class ConcatHeader(OutputHeader):
    """Tensors one after the other, requantized into one scale."""

    kind: Literal["concat"] = "concat"
    name: str
    inputs: tuple[str, ...]
    multipliers: tuple[Multiplier, ...]
    shift: Shift
    axis: Literal[0, 1] = Field(0, description="0: channels, 1: tokens (H)")


class UpsampleHeader(_Header):
    """Nearest neighbour by integer factors (y, x)."""

    kind: Literal["upsample"] = "upsample"
    name: str
    input: str
    factor: Pair
    zero_point: Int8 = 0


class ReshapeHeader(_Header):
    """The same values, in order, as (C, H, W)."""

    kind: Literal["reshape"] = "reshape"
    name: str
    input: str
    to: tuple[Positive, Positive, Positive]
    zero_point: Int8 = 0


class TableHeader(_Header):
    """Tensor `LAYER.table`: int8 [256], looked up at x + 128."""

    kind: Literal["table"] = "table"
    name: str
    input: str
    zero_point: Int8 = 0


class MultiplyHeader(OutputHeader):
    """Element-wise product; the second operand may be (C, 1, 1)."""

    kind: Literal["multiply"] = "multiply"
    name: str
    inputs: tuple[str, str]
    multiplier: Multiplier
    shift: Shift


class SoftmaxHeader(OutputHeader):
    """Over equal runs of channels. Tensor `LAYER.table`: uint16 [256] exponents."""

    kind: Literal["softmax"] = "softmax"
    name: str
    input: str
    groups: Positive = 1
    zero_point: Int8 = -128


class LayerNormHeader(OutputHeader):
    """Over channels at each position. Tensors `LAYER.gain` (int16 [C]), `LAYER.bias` (int32 [C])."""

    kind: Literal["layer_norm"] = "layer_norm"
    name: str
    input: str
    shift: Shift
    epsilon: int = Field(1, ge=1, lt=2**38)
    rms: bool = False


class ScanHeader(OutputHeader):
    """Selective scan of x, delta, B, C. Tensors `LAYER.decay` (uint16 [C, N]), `LAYER.table` (uint16
    [256] exponents), `LAYER.skip` (int32 [C])."""

    kind: Literal["scan"] = "scan"
    name: str
    inputs: tuple[str, str, str, str]
    decay_shift: Shift
    step_multiplier: Multiplier
    step_shift: Shift
    multiplier: Multiplier
    shift: Shift
    reverse: bool = Field(False, description="from the last token to the first")


class InputHeader(_Header):
    """The network's input: real = scale * (q - zero_point)."""

    shape: tuple[Positive, Positive, Positive]
    scale: float = Field(gt=0, allow_inf_nan=False)
    zero_point: Int8 = 0


LayerHeader = (
    ConvHeader
    | MatMulHeader
    | AddHeader
    | AveragePoolHeader
    | PoolHeader
    | ConcatHeader
    | UpsampleHeader
    | ReshapeHeader
    | TableHeader
    | MultiplyHeader
    | SoftmaxHeader
    | LayerNormHeader
    | ScanHeader
)


class NetworkHeader(_Header):
    """Header of a Codeword network file."""

    schema_version: Literal[1] = SCHEMA_VERSION
    name: str
    input: InputHeader
    layers: list[Annotated[LayerHeader, Field(discriminator="kind")]]
    metadata: dict[str, Any] = Field(default_factory=dict, description="free: provenance, accuracy")


def json_schema() -> dict[str, Any]:
    """JSON schema of the header."""
    return NetworkHeader.model_json_schema()
