"""`python -m codeword.reports.formats.decoders --liberty FILE...`: decoders of the formats on a cell library; a minute.

Area and longest path of what makes WRF words of the rows of a weight stream, at 16 columns, with clock gates;
memories of codebooks are black boxes. Written to reports/formats_decoders.json, which the text of the report reads.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from codeword.reports.formats.costs import SIZE
from codeword.reports.formats.entries import DECODED
from codeword.reports.registry import REPORTS
from rtl import verilog
from rtl.block import module_name
from rtl.synth import Library, read, synthesize_modules
from rtl.weights.row_decoder import RowDecoder
from sim import accelerator
from sim.files import write_json


def path() -> Path:
    """Of the figures."""
    out = REPORTS["formats"].out
    return out.with_name(f"{out.stem}_decoders.json")


def decoder(family: str, library: Library) -> dict[str, Any]:
    """Of a family's machine."""
    machine = accelerator.preset(f"{family}-{SIZE}")
    block = RowDecoder(accelerator=machine)
    texts = {
        module_name(kind): text
        for kind, (_, text) in verilog.hierarchy(block, gated=machine.clock_gating).items()
    }
    made = synthesize_modules(
        texts, module_name(block.kind), library, 1e9 / machine.clock_hz, gated=machine.clock_gating
    )
    return {
        "machine": machine.name,
        "um2": made.area,
        "flip_flops": made.flip_flops,
        "path_ns": made.path_ns,
        "timing": made.timing,
    }


def main() -> None:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--liberty", nargs="+", required=True, help=".lib or .lib.gz files of one library")
    library = read(*parser.parse_args().liberty)
    found = {form: decoder(family, library) for form, family in DECODED.items()}
    write_json(path(), {"library": library.name, "decoders": found})


if __name__ == "__main__":
    main()
