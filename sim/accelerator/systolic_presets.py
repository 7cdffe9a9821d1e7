"""Presets of the systolic machine: what each family sets, at any size."""

from __future__ import annotations

from collections.abc import Callable

PUBLISHED = 64
"""Rows and columns of the largest machine of MVQ (sec. 7.1)."""


def _largest_divisor(n: int, limit: int) -> int:
    return max(q for q in range(1, min(n, limit) + 1) if n % q == 0)


def resources(rows: int, columns: int) -> dict[str, int]:
    """What presets of a size have of everything that makes a machine faster. L1 is 128 KB up to 16x16 (MVQ sec. 7.1).

    Nobody published a machine beyond 64x64: there memories grow with the PEs and buses with the side; assumed.
    """
    beyond = 1 << max(0, (max(rows, columns) - 1) // PUBLISHED).bit_length()
    return dict(
        l1_bytes=(128 if rows * columns <= 256 else 256 * beyond**2) * 1024,
        l2_bytes=2 * beyond**2 * 1024 * 1024,
        weight_port_bits=64 * beyond,
        dma_bits=64 * beyond,
        dram_bits=64,
        ifmap_banks=-(-rows // 8),
        psum_banks=-(-columns // 2),
        psum_ports=1,
        requant_lanes=columns,
    )


def _base(rows: int, columns: int) -> dict[str, object]:
    """What all families share at a size; DRAM is no part of a preset."""
    fields = resources(rows, columns)
    del fields["dram_bits"]
    return dict(
        rows=rows,
        columns=columns,
        tile_rows=_largest_divisor(rows, 4),
        tile_columns=_largest_divisor(columns, 16),
        **fields,
    )


_WS = dict(dataflow="ws", wrf_depth=2, arf_reuse=False)


def _codebook(columns: int, d: int, k: int) -> dict[str, object]:
    return dict(codeword_length=min(d, columns), codebook_entries=k if columns >= 16 else 16)


def _masked(columns: int) -> dict[str, object]:
    d = min(16, columns)
    return dict(format="mvq", group=d, keep=max(1, d // 4), **_codebook(columns, 16, 512))


def _scaled(form: str, group: int) -> Callable[[int], dict[str, object]]:
    return lambda columns: dict(format=form, codeword_length=1, scale_group=group)


def _sparse(columns: int) -> dict[str, object]:
    return dict(_masked(columns), sparse_tile=True, tile_columns=min(16, columns))


# The six settings of MVQ sec. 7.1, SSVQ and VQ4ALL. WS holds one weight a PE, and a second while it loads;
# on WS-CMS that is one dense weight of M/N = 4 sub-records.
FAMILIES: dict[str, Callable[[int], dict[str, object]]] = {
    "ws": lambda columns: _WS,
    "ws-cms": lambda columns: dict(_sparse(columns), **dict(_WS, wrf_depth=8)),
    "ews": lambda columns: {},
    "ews-c": lambda columns: dict(format="vq", **_codebook(columns, 8, 1024)),
    "ews-cm": _masked,
    "ews-cms": _sparse,
    # SSVQ on EWS: a 7-bit magnitude and d sign bits a record (SSVQ reference, sec. 7: d = 8, k up to 256).
    "ssvq": lambda columns: dict(format="ssvq", **_codebook(columns, 8, 256)),
    # VQ4ALL: one codebook of 2^16 x 8 for all networks (16 entries below 16 columns, for tests), in
    # 2 L/d banks of one port; assumed.
    "rom": lambda columns: dict(
        format="rom", **_codebook(columns, 8, 65536), rom_banks=2 * -(-columns // min(8, columns))
    ),
    # Few bits with a scale for so many input channels; 128 of GPTQ sec. 4, blocks of 32 and of 16 from OCP Microscaling
    # Formats 1.0 and from NVFP4.
    **{f"int{bits}-g{group}": _scaled(f"int{bits}", group) for bits in (4, 3, 2) for group in (128, 64, 32)},
    "mxfp4": _scaled("mxfp4", 32),
    "nvfp4": _scaled("nvfp4", 16),
    "mxint8": _scaled("mxint8", 32),
    "ternary": lambda columns: dict(format="ternary", codeword_length=min(16, columns)),
    # A scalar codebook is one of codewords of length 1.
    "palette": lambda columns: dict(format="vq", codeword_length=1, codebook_entries=16),
    # Two codebooks of 256 codewords (AQLM sec. 4: 2 x 8 bits), of 8 below 16 columns, for tests.
    "aqlm": lambda columns: dict(format="aqlm", **_codebook(columns, 8, 512)),
}


def preset(family: str, rows: int, columns: int) -> dict[str, object]:
    """Fields of a family at a size."""
    return _base(rows, columns) | FAMILIES[family](columns)
