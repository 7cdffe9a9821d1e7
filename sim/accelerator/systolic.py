"""The accelerator description: one frozen, validated object for sim, cost and RTL alike."""

from __future__ import annotations

from math import prod
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, Strict, model_validator

from sim import formats
from sim.errors import InputError, require_multiple
from sim.formats import encoding
from sim.names import require_name

L1Group = Literal["ifmap", "psum", "ofmap", "residual"]
L1_EIGHTHS: dict[L1Group, int] = {"ifmap": 2, "psum": 4, "ofmap": 1, "residual": 1}
"""Eighths of L1 that each of its groups has, eight in all; assumed."""


def _name(name: str) -> str:
    require_name("name", name)
    return name


Name = Annotated[str, AfterValidator(_name)]


class Accelerator(BaseModel):
    """An H x L systolic array with its memories.

    Defaults marked *assumed* are not published (MVQ reference, "not public, and our defaults").
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: Name = Field(description="printed; Verilog takes a word of ASCII")
    kind: Literal["systolic"] = "systolic"
    rows: int = Field(ge=1, le=256, description="H, rows of PEs: input channels at once; Verilog up to 64")
    columns: int = Field(
        ge=1, le=256, description="L, columns of PEs: output channels at once; Verilog up to 64"
    )
    tile_rows: int = Field(
        4, ge=1, le=256, description="TH, PE rows between two pipeline registers of the array; assumed"
    )
    tile_columns: int = Field(
        16, ge=1, le=256, description="TL, PE columns between two pipeline registers; d on a sparse array"
    )
    dataflow: Literal["ws", "ews"] = Field(
        "ews", description="ws holds one weight a PE, extension factors A = B = D = 1 (MVQ sec. 5); ews more"
    )
    extension: Annotated[tuple[int, int, int], Strict(False)] | None = Field(
        None,
        description="fixes the extension factors [A, B, D], smaller where a layer is; without it the mapping chooses",
    )
    format: str = Field(
        "dense", description=f"of the weights it is made for: {', '.join(formats.FORMATS)}; dense runs too"
    )
    sparse_tile: bool = Field(
        False,
        description="only kept weights are multiplied: Q = d N/M multipliers for each d columns (MVQ sec. 5.3)",
    )
    codeword_length: int = Field(
        16, ge=1, le=256, description="d, weights of a codeword: consecutive output channels"
    )
    codebook_entries: int = Field(
        512, ge=2, le=65536, description="k, codewords that the codebook RF (or ROM) holds"
    )
    keep: int = Field(4, ge=1, le=16, description="N of the N:M mask: weights kept of each group")
    group: int = Field(16, ge=1, le=16, description="M of the N:M mask: consecutive weights of a group")
    scale_group: int = Field(
        128, ge=1, le=65536, description="input channels that share a scale, of formats with group scales"
    )
    wrf_depth: int = Field(
        16, ge=1, le=1024, description="words of the weight register file of each PE (MVQ Table 2)"
    )
    arf_depth: int = Field(
        32, ge=1, le=65536, description="words of the activation register file of each row; assumed"
    )
    arf_reuse: bool = Field(True, description="the activation register file keeps a sliding window along x")
    prf_depth: int = Field(
        16, ge=1, le=65536, description="words of the psum register file of each column; assumed"
    )
    weight_port_bits: int = Field(
        64, ge=64, le=8192, description="bits of weights from L2 to the loader, a cycle (MVQ sec. 7.1)"
    )
    weight_overlap: bool = Field(
        True,
        description="a chunk may load while the one before it computes; without it the whole WRF serves "
        "one chunk, whose load is exposed",
    )
    ifmap_banks: int = Field(
        8, ge=1, le=4096, description="64-bit banks of L1 that one fetch of activations reads; assumed"
    )
    psum_banks: int = Field(
        32, ge=1, le=4096, description="64-bit banks of L1 that hold stored psums; assumed"
    )
    psum_ports: Literal[1, 2] = Field(
        1, description="of the psum banks: with 2, psums are read and written in the same cycle"
    )
    psum_store_bits: Literal[32] = Field(32, description="bits of a psum that is stored in L1")
    requant_lanes: int = Field(
        64, ge=1, le=4096, description="outputs that the storer requantizes in a cycle; assumed"
    )
    l1_bytes: int = Field(
        256 * 1024,
        ge=1024,
        le=2**32,
        description="bytes of L1, in its four groups; 128 KB at 16x16 (MVQ sec. 7.1)",
    )
    l2_bytes: int = Field(
        2 * 1024 * 1024,
        ge=1024,
        le=2**40,
        description="bytes of L2, for maps and for weights that are needed again (MVQ sec. 7.1)",
    )
    l2_weight_bytes: int | None = Field(
        None,
        ge=1,
        le=2**40,
        description="bytes of L2 for weights that are needed again, the rest holds maps; without it a quarter; assumed",
    )
    dma_bits: int = Field(
        64,
        ge=8,
        le=65536,
        description="bits that the DMA moves in a cycle, from L2 to L1 and as many back (MVQ sec. 3.1)",
    )
    dma_setup: int = Field(
        8, ge=0, le=10**6, description="cycles of a DMA descriptor before its first beat; assumed"
    )
    l2_latency: int = Field(
        4, ge=0, le=10**6, description="cycles from an address that L2 accepts to its first beat; assumed"
    )
    dma_burst_gap: int = Field(
        0, ge=0, le=10**6, description="cycles between DMA bursts of 16 beats; assumed"
    )
    dram_bits: int | None = Field(
        None,
        ge=1,
        le=65536,
        description="bits that DRAM brings in a cycle; without it those of `dram`, or 64: 2.4 GB/s at 300 MHz, assumed",
    )
    dram_latency: int | None = Field(
        None,
        ge=0,
        le=10**6,
        description="cycles from a request to its first DRAM beat; without it those of `dram`, or 100, assumed",
    )
    dram_row_bytes: int | None = Field(
        None,
        ge=64,
        le=2**24,
        description="bytes of open DRAM rows: a transfer opens some for each; without it those of `dram`, or "
        "2048, assumed",
    )
    dram_row_cycles: int | None = Field(
        None,
        ge=0,
        le=10**6,
        description="cycles to open a DRAM row; without it those of `dram`, or 9: 30 ns at 300 MHz, assumed",
    )
    rom_banks: int = Field(
        16,
        ge=1,
        le=4096,
        description="banks of the codebook ROM: a codeword lies in bank (index mod banks); assumed",
    )
    rom_ports: int = Field(1, ge=1, le=64, description="reads of a ROM bank in a cycle; assumed")
    edge_registers: bool = Field(
        True,
        description="registers in loader, operand edge, tiles, deskew and PRF; without them an idealised array, "
        "as SCALE-Sim assumes",
    )
    address_bits: int = Field(
        32, ge=32, le=40, description="bits of the addresses at the AXI ports of the Verilog"
    )
    clock_gating: bool = Field(
        True,
        description="the Verilog gates the clock of register files and idle registers; without it they have "
        "enables, as FPGAs want them",
    )
    wrf_latches: bool = Field(
        False,
        description="words of the WRF are latches behind their clock gates, smaller than flip-flops; needs "
        "clock_gating",
    )
    clock_hz: float = Field(300e6, ge=1, le=1e12, description="requested clock in Hz (MVQ sec. 7.1)")
    technology: str = Field(
        "mvq40",
        description="coefficients of energy and area: a name, as `--technology` takes it, or a TOML file",
    )
    dram: str = Field(
        "",
        description="type of off-chip memory, such as hbm3: its energy, and its bandwidth, latency and rows at the "
        'clock; "" for the energy of the technology and the times of none',
    )

    @model_validator(mode="before")
    @classmethod
    def _earlier(cls, fields: dict[str, Any]) -> dict[str, Any]:
        """Descriptions of versions before 0.2 name the format by `loader`, in words of its own."""
        if "loader" not in fields:
            return fields
        names = {form.loader: form.name for form in formats.FORMATS.values()}
        loader = fields["loader"]
        rest = {name: value for name, value in fields.items() if name != "loader"}
        return rest | {"format": names.get(loader, loader) if isinstance(loader, str) else loader}

    @model_validator(mode="after")
    def _consistent(self) -> Accelerator:
        require_multiple(self, "rows", "tile_rows")
        require_multiple(self, "columns", "tile_columns")
        self.weights.check(self)
        if self.wrf_latches and not self.clock_gating:
            raise InputError(
                "wrf_latches", True, "latches open with the pulses of clock gates", "set clock_gating = true"
            )
        if self.sparse_tile:
            if not self.weights.masks:
                masked = next(form.name for form in formats.FORMATS.values() if form.masks)
                raise InputError(
                    "sparse_tile",
                    True,
                    f"needs masked weights, not {self.format}",
                    f"set format = {masked!r}",
                )
            if self.tile_columns != self.codeword_length:
                raise InputError(
                    "tile_columns",
                    self.tile_columns,
                    "a sparse tile spans one codeword",
                    f"set tile_columns = {self.codeword_length}",
                )
            require_multiple(self, "group", "keep")
            if self.split > self.wrf_depth:
                raise InputError(
                    "wrf_depth",
                    self.wrf_depth,
                    f"a dense weight needs {self.split} sub-records",
                    f"set wrf_depth >= {self.split}",
                )
        if self.extension is not None:
            product = prod(self.extension)
            if min(self.extension) < 1 or product > self.wrf_depth:
                raise InputError(
                    "extension",
                    self.extension,
                    f"A*B*D = {product} does not fit wrf_depth = {self.wrf_depth}",
                    f"choose positive factors with A*B*D <= {self.wrf_depth}",
                )
        if self.weight_bytes >= self.l2_bytes:
            raise InputError(
                "l2_weight_bytes",
                self.l2_weight_bytes,
                f"leaves no room for maps in the {self.l2_bytes} bytes of L2",
                "keep less",
            )
        if self.weight_port_bits.bit_count() != 1:
            raise InputError(
                "weight_port_bits", self.weight_port_bits, "not a power of two", "use 64, 128, 256 or 512"
            )
        return self

    @property
    def weights(self) -> formats.Format:
        """The object of `format`."""
        return formats.named(self.format)

    @property
    def row_stages(self) -> int:
        """Rv, tile stages that a psum passes."""
        return self.rows // self.tile_rows

    @property
    def column_stages(self) -> int:
        """Rh, tile stages that an activation passes."""
        return self.columns // self.tile_columns

    @property
    def operand_stages(self) -> int:
        """Cycles from the issue of a token to the request of its vector: as many as a fetched vector takes from
        its turn to L1, where its segment is found and its address multiplied out on the way.
        """
        return 4 if self.edge_registers else 0

    @property
    def tile_stages(self) -> int:
        """Cycles inside a tile before its products meet the psums: one behind the WRF, one behind the multipliers."""
        return 2 if self.edge_registers else 0

    @property
    def latency(self) -> int:
        """LAT, cycles from the issue of a token to its visible psum row."""
        array = self.row_stages + self.column_stages + self.tile_stages
        return array + self.operand_stages + (1 if self.edge_registers else -2)

    @property
    def release(self) -> int:
        """Cycles from a chunk's last token until its WRF bank may be loaded again."""
        array = self.row_stages + self.column_stages + self.tile_stages
        return array + self.operand_stages - (0 if self.edge_registers else 1)

    @property
    def loader_stages(self) -> int:
        """Cycles from a beat to the row it completes: look-up; what makes weights of records, where it is no ROM;
        write."""
        return 2 + (self.coded and not self.weights.universal) if self.edge_registers else 0

    @property
    def multipliers_per_codeword(self) -> int:
        """Q = d N / M on a sparse tile, else d."""
        if not self.sparse_tile:
            return self.codeword_length
        return self.codeword_length * self.keep // self.group

    @property
    def split(self) -> int:
        """U, sub-records of a dense weight: M/N on a sparse tile, else 1."""
        return self.group // self.keep if self.sparse_tile else 1

    @property
    def multipliers(self) -> int:
        """Physical multipliers of the array."""
        return self.rows * self.columns // self.split

    def l1_share(self, group: L1Group) -> int:
        """Bytes of a group of L1, by L1_EIGHTHS."""
        return self.l1_bytes * L1_EIGHTHS[group] // 8

    @property
    def ifmap_bytes(self) -> int:
        """Bytes of L1 that hold ifmap tiles."""
        return self.l1_share("ifmap")

    @property
    def ofmap_bytes(self) -> int:
        """Bytes of L1 that hold finished rows on their way to L2."""
        return self.l1_share("ofmap")

    @property
    def residual_bytes(self) -> int:
        """Bytes of L1 that hold residual tiles."""
        return self.l1_share("residual")

    @property
    def psum_bytes(self) -> int:
        """Bytes of L1 that hold the psums of a spatial tile."""
        return self.l1_share("psum")

    @property
    def weight_bytes(self) -> int:
        """Part of L2 that keeps weights for the next spatial tile."""
        return self.l2_bytes // 4 if self.l2_weight_bytes is None else self.l2_weight_bytes

    @property
    def map_bytes(self) -> int:
        """The rest of L2, which holds a layer's feature maps."""
        return self.l2_bytes - self.weight_bytes

    @property
    def coded(self) -> bool:
        """Whether the weight stream carries records."""
        return self.weights.coded

    @property
    def map_banks(self) -> int:
        """64-bit banks of an L1 group that holds maps: H activations or L outputs at once, a power of two."""
        return 1 << (-(-max(self.rows, self.columns) // 8) - 1).bit_length()

    @property
    def wide_lanes(self) -> int:
        """32-bit outputs that the storer writes in a cycle: what `map_banks` hold, in parts of its lanes."""
        return max(n for n in range(1, 2 * self.map_banks + 1) if self.requant_lanes % n == 0)

    @property
    def peak_macs(self) -> int:
        """Dense-equivalent multiply-accumulates a cycle at most: H L."""
        return self.rows * self.columns

    @property
    def peak_tops(self) -> float:
        """Dense-equivalent peak, 2 H L f, as the paper counts it (MVQ Table 9)."""
        return 2 * self.peak_macs * self.clock_hz / 1e12

    @property
    def mask_code_bits(self) -> int:
        """Bits of one mask code, 0 without masks."""
        return encoding.mask_bits(self.keep, self.group) if self.weights.masks else 0

    def record_bits(self, k: int) -> int:
        """Bits of a record whose layer has k codewords, or of a dense weight."""
        return self.weights.unit_bits(self, k)
