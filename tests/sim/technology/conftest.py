"""A technology file to change."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.sim.technology.cases import SOURCED


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., str]:
    """A complete technology with round numbers, with texts replaced; returns its path."""
    form = ('unit = "{}"\num2 = {{ {} }}\nflip_flops = {{ {} }}\nvalid = [{}, {}]\n' + SOURCED).format
    energy = "".join(
        f"[energy.{name}]\nvalue = {value}\n{SOURCED}"
        for name, value in (("mac", 2.0), ("wrf", 0.5), ("arf", 0.25), ("prf", 1.5), ("rom", 3.0))
    )
    text = "\n".join(
        (
            'kind = "synthesized"\nname = "round"\ndescription = "round numbers"\nnode_nm = 130\nvoltage_v = 1.2',
            'dram = "lpddr4"',
            f"[clock]\nmax_hz = 1e8\n{SOURCED}",
            '[memory]\ntable = "sg13g2"\n',
            energy,
            f"[sparse.mac]\nvalue = 4.0\n{SOURCED}",
            f"[clock_pj_per_flip_flop]\nvalue = 0.01\n{SOURCED}",
            f"[leakage_mw_per_mm2]\nvalue = 0.5\n{SOURCED}",
            "[area.array.ews]",
            form("PE", "256 = 1e6, 4096 = 13e6", "256 = 1000, 4096 = 13000", 256, 4096),
            "[area.array.ews-sparse]",
            form("PE", "256 = 5e5, 4096 = 4e6", "256 = 1, 4096 = 2", 256, 4096),
            "[area.arf]\n" + form("row", "16 = 3e5", "16 = 400", 4, 64),
            "[area.prf]\n" + form("column", "16 = 7e5", "16 = 800", 4, 64) + "needs = { prf_depth = 16 }\n",
            "[area.loader.dense]\n" + form("column", "16 = 2e5, 64 = 5e5", "16 = 20, 64 = 50", 16, 64),
            "[area.loader.mvq-sparse]",
            form("column", "16 = 2e5, 64 = 5e5", "16 = 2, 64 = 5", 16, 64),
            "[area.rom]\num2 = { 512 = 25600, 4096 = 204800 }\n" + SOURCED,
            "[area.storer]\n" + form("column", "16 = 2e6", "16 = 100", 16, 64),
            "[area.control]\n" + form("accelerator", "1 = 1e6", "1 = 10", 1, 1),
        )
    )

    def written(*replacements: tuple[str, str]) -> str:
        changed = text
        for old, new in replacements:
            assert old in changed
            changed = changed.replace(old, new, 1)
        path = tmp_path / f"round{len(list(tmp_path.iterdir()))}.toml"
        path.write_text(changed)
        return str(path)

    return written
