"""Areas of components become sections of a technology file, and ratios beside Table 7."""

from __future__ import annotations

import tomllib

import pytest

from codeword.reports.mvq_hardware.synthesized_areas import (
    LIBRARIES,
    SETTINGS,
    SIZES,
    markdown,
    printed,
    rows,
)
from rtl.synth import areas
from sim import accelerator, technology
from sim.technology.coefficients import Sized
from tests.rtl.synth.synthesis import MINI, library


def test_a_section_for_a_technology_file(capsys: pytest.CaptureFixture[str]) -> None:
    given = ["--liberty", str(MINI), "--component", "arf", "--size", "4", "--size", "8"]
    assert areas.main(given) == 0
    fields = tomllib.loads(capsys.readouterr().out)["area"]["arf"]
    assert "on mini" in fields["source"]
    # Words of 8 bits a row and as many in the register behind them.
    assert fields["flip_flops"] == {"4": 33 * 32, "8": 33 * 64}
    found = Sized.model_validate(fields).area(accelerator.preset("ews-8"))
    assert found.value == pytest.approx(1e-6 * fields["um2"]["8"], rel=1e-6)


def test_a_bad_library_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert areas.main(["--liberty", "none.lib"]) == 2
    assert "none.lib" in capsys.readouterr().err


@pytest.mark.parametrize(("loader", "outside"), [("vq", "sram_16x32_single"), ("rom", "sram_rom_bank")])
def test_the_codebook_stays_outside_its_loader(loader: str, outside: str) -> None:
    found = areas.synthesis(f"loader.{loader}", 4, library(MINI))
    boxes = [part for part in found.components if part.black_box]
    assert [part.kind for part in boxes] == [outside]
    assert boxes[0].area == 0


def test_ratios_by_hand() -> None:
    found = {(row["library"], row["setting"], row["size"]): row for row in rows()}
    assert len(found) == len(LIBRARIES) * len(SETTINGS) * len(SIZES)
    area = technology.load("sg13g2").area  # type: ignore[attr-defined]
    ews, cms = (
        sum(
            part.gated_um2[n]
            for part, n in (
                (area.array[array], 256),
                (area.arf, 16),
                (area.prf, 16),
                (area.loader[loader], 16),
            )
        )
        for array, loader in (("ews", "dense"), ("ews-sparse", "mvq-sparse"))
    )
    crf = 2 * 150_102.4  # two macros RM_IHPSG13_1P_512x64_c2_bm_bist of the IHP PDK
    assert found["sg13g2", "ews-cms", 16]["ratio"] == pytest.approx((cms + crf) / ews, abs=1e-4)
    assert found["sg13g2", "ews", 64]["ratio"] == 1
    assert printed("ews-cms", 64) == pytest.approx(2.129 / 4.236)
    assert printed("ws-cms", 16) is None


def test_the_table_has_a_line_for_each_setting_and_size() -> None:
    text = markdown()
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    assert len(lines) == 1 + len(SETTINGS) * len(SIZES)
    assert len({line.count("|") for line in lines}) == 1
    for row in rows():
        assert (row["ratio"] is None) == (row["array_um2"] is None)
        assert row["ratio"] is not None or row["source"] in text
