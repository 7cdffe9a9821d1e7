"""Technologies of cell libraries: by hand, and with parts that nobody knows."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from sim import accelerator, technology
from sim.cost import Cost, cost
from sim.errors import InputError
from sim.results import LayerCounts
from sim.systolic.results import CAUSES, MEMORIES
from sim.technology import dram, memory
from tests.sim.technology.cases import SOURCED


def counts(scale: int = 1) -> LayerCounts:
    return LayerCounts(
        "x",
        macs=1000 * scale,
        cycles={cause: (n + 1) * scale for n, cause in enumerate(CAUSES)},
        accesses={what: (n + 2) * 10**n * scale for n, what in enumerate((*MEMORIES, "mac"))},
    )


def priced(path: str, preset: str = "ews-16", **settings: object) -> Cost:
    machine = accelerator.load(preset, {"technology": path} | settings)
    return cost([counts()], machine, technology.load(path))


def test_energy_by_hand(write: Callable[..., str]) -> None:
    found, accesses = priced(write()), counts().accesses
    # 16x16: L1 of 128 KiB. Map bank 16 KiB, two ports: 2 x 2 macros of 1024 x 32; psum bank 4 KiB.
    maps = 2 * (48.267 + 58.918) / 2 / 8
    psums = (68.897 + 80.016) / 2 / 8
    each = {
        "dram": 64.0,
        "l2": (122.39 + 155.37) / 2 / 8,
        "l1": (maps + psums) / 2,
        "arf": 0.25,
        "wrf": 0.5,
        "prf": 1.5,
        "crf": (68.897 + 80.016) / 2 / 8,
        "rom": 3.0,
        "mac": 2.0,
    }
    assert {name: found.energy_pj[name] for name in each} == pytest.approx(
        {name: price * accesses[name] for name, price in each.items()}
    )
    cycles = sum(range(1, len(CAUSES) + 1))
    registers = 1000 + 400 + 800 + 20 + 100 + 10
    assert found.energy_pj["clock"] == pytest.approx(0.01 * registers * cycles)
    assert found.time_s == pytest.approx(cycles / 100e6)
    cells_mm2 = 1.0 + 0.3 + 0.7 + 0.2 + 2.0 + 1.0
    sram_mw = 1e-3 * (
        2 * 4 * 0.6378
        + 2 * 2 * (2 * 0.6378)  # map groups: 2 banks of 2048, of 1024 and of 1024 words
        + 16 * 0.39603  # psums: 2 halves of 8 banks of 512 words
        + 128 * 1.5841  # L2
        + 4 * 2 * 0.15945
        + 2 * 0.039863
        + 27 * 0.039863
    )  # streams, weights, parameters of 864 bits
    milliwatts = 0.5 * cells_mm2 + sram_mw
    assert found.energy_pj["leakage"] == pytest.approx(milliwatts * found.time_s * 1e9, rel=1e-3)


def test_area_by_hand(write: Callable[..., str]) -> None:
    found = priced(write(), "ews-cms-32")
    area = {name: figure.value for name, figure in found.area_mm2.items()}
    assert area["array"] == pytest.approx(0.5 + 3.5 * (1024 - 256) / (4096 - 256))
    assert (area["arf"], area["prf"], area["storer"]) == pytest.approx((0.6, 1.4, 4.0))
    assert area["loader"] == pytest.approx(0.2 + 0.3 / 3)
    assert area["crf"] == pytest.approx(2 * 2 * 0.1501024)  # a copy for each codeword of a row, in two macros
    assert area["l2"] == pytest.approx(128 * 0.4916336)
    assert found.area_mm2["arf"].label == "fit"
    assert found.area_mm2["control"].label == "measured"
    assert found.total_mm2 == pytest.approx(math.fsum(value for value in area.values() if value is not None))
    assert found.energy_sources["mac"].value == 4.0


def test_parts_add_to_totals(write: Callable[..., str]) -> None:
    for path in ("mvq40", "mvq40@28", write()):
        machine = accelerator.load("ews-16", {"technology": path})
        layers = [counts(), counts(3)]
        whole, parts = (
            cost(layers, machine, technology.load(path)),
            [cost([layer], machine, technology.load(path)) for layer in layers],
        )
        assert whole.total_pj == pytest.approx(math.fsum(pj or 0 for pj in whole.energy_pj.values()))
        assert whole.total_pj == pytest.approx(sum(part.total_pj or 0 for part in parts))
        without = whole.total_without_dram_pj or 0
        assert (whole.total_pj or 0) - without == pytest.approx(whole.energy_pj["dram"])
        assert whole.known_pj == whole.total_pj


def test_a_missing_part_makes_the_total_unknown_and_is_named(write: Callable[..., str]) -> None:
    reason = 'missing = "nobody looked"'
    path = write((f"[energy.arf]\nvalue = 0.25\n{SOURCED}", f"[energy.arf]\n{reason}\n"))
    found = priced(path)
    assert found.total_pj is None
    assert found.total_without_dram_pj is None
    assert found.tops_per_watt is None
    assert found.unknown_energy == ("arf",)
    assert found.energy_sources["arf"].source == "nobody looked"
    assert found.known_pj == pytest.approx(math.fsum(pj for pj in found.energy_pj.values() if pj is not None))
    fields = found.to_json()
    assert fields["unknown_energy"] == ("arf",)
    assert fields["energy_pj"]["arf"] is None  # type: ignore[index]
    assert fields["energy_pj"]["total"] is None  # type: ignore[index]


def test_what_nobody_counted_costs_nothing(write: Callable[..., str]) -> None:
    path = write((f"[energy.rom]\nvalue = 3.0\n{SOURCED}", '[energy.rom]\nmissing = "nobody looked"\n'))
    machine = accelerator.load("ews-16", {"technology": path})
    accesses = counts().accesses | {"rom": 0}
    layer = LayerCounts("x", 1, counts().cycles, accesses)
    found = cost([layer], machine, technology.load(path))
    assert found.energy_pj["rom"] == 0
    assert found.total_pj is not None


def test_the_mapping_takes_own_energies_where_all_are_known(write: Callable[..., str]) -> None:
    whole = write()
    partly = write((f"[energy.arf]\nvalue = 0.25\n{SOURCED}", '[energy.arf]\nmissing = "nobody looked"\n'))
    machine = accelerator.load("ews-16", {"technology": whole})
    assert technology.mapping_energy(machine)[0] == whole
    assert technology.mapping_energy(machine)[1]["prf"] == 1.5
    machine = machine.model_copy(update={"technology": partly})
    assert technology.mapping_energy(machine)[0] == "mvq40"


def test_a_price_by_size(write: Callable[..., str]) -> None:
    path = write(
        (
            f"[energy.arf]\nvalue = 0.25\n{SOURCED}",
            f'[energy.arf]\nby = "arf_depth"\nat = {{ 16 = 1.0, 256 = 4.0 }}\n{SOURCED}',
        )
    )
    for depth, value, label in ((16, 1.0, "measured"), (64, 2.0, "fit"), (256, 4.0, "measured")):
        figure = priced(path, "ews-cms-16", arf_depth=depth).energy_sources["arf"]
        assert figure.value == pytest.approx(value)
        assert figure.label == label
    beyond = priced(path, "ews-cms-16", arf_depth=512)
    assert beyond.unknown_energy == ("arf",)
    assert "16 to 256, not 512" in beyond.energy_sources["arf"].source


def test_areas_off_what_was_measured(write: Callable[..., str]) -> None:
    path = write()
    for settings, part, reason in (
        ({"prf_depth": 8}, "prf", "prf_depth = 16, not 8"),
        ({"dataflow": "ws"}, "array", "ws was not synthesized"),
    ):
        figure = priced(path, "ews-16", **settings).area_mm2[part]
        assert figure.value is None
        assert reason in figure.source
    assert "256 to 4096 PEs, not 64" in priced(path, "ews-8").area_mm2["array"].source
    assert priced(path, "ews-8").total_mm2 is None
    assert "mvq was not synthesized" in priced(path, "ews-cm-16").area_mm2["loader"].source


def test_lines_between_three_sizes(write: Callable[..., str]) -> None:
    path = write(
        ("256 = 1e6, 4096 = 13e6", "256 = 1e6, 1024 = 4e6, 4096 = 13e6"),
        ("256 = 1000, 4096 = 13000", "256 = 1000, 1024 = 5000, 4096 = 13000"),
    )
    found = {
        size: priced(path, "ews-64", rows=rows, columns=columns).area_mm2["array"]
        for size, rows, columns in ((512, 16, 32), (1024, 32, 32), (3072, 64, 48))
    }
    assert {size: figure.value for size, figure in found.items()} == pytest.approx(
        {512: 2.0, 1024: 4.0, 3072: 10.0}
    )
    assert [figure.label for figure in found.values()] == ["fit", "measured", "fit"]


def test_rom_is_a_band_and_ends(write: Callable[..., str]) -> None:
    path = write()
    # 4096 x 8 bytes in 4 banks of 8 KiB: larger than any logic synthesized.
    beyond = priced(path, "rom-16", codebook_entries=4096).area_mm2["rom"]
    assert beyond.value is None
    assert "512 to 4096 bytes a bank, not 8192" in beyond.source
    # 1024 x 8 bytes in 4 banks of 2 KiB: the macro of 256 x 64 above, 50 um2 a byte below.
    within = priced(path, "rom-16", codebook_entries=1024).area_mm2["rom"]
    assert within.value == pytest.approx(8192 * 50e-6)
    assert within.label == "assumed"
    assert f"{4 * 0.09318053:.3g} to {8192 * 50e-6:.3g} mm2" in within.uncertainty


def test_energy_of_a_rom_is_a_band(write: Callable[..., str]) -> None:
    given = 'by = "rom_bank_bytes"\nat = { 512 = 0.5, 8192 = 8.0 }\n'
    path = write((f"[energy.rom]\nvalue = 3.0\n{SOURCED}", f"[energy.rom]\n{given}{SOURCED}"))
    # 1024 x 8 bytes in 4 banks of 2 KiB: logic 0.5 * 16^(1/2) = 2 pJ; the macro of 256 x 64 above.
    figure = priced(path, "rom-16", codebook_entries=1024).energy_sources["rom"]
    sram = memory.table("sg13g2").memory(130, 2048, 64).read_pj / 8
    assert figure.value == pytest.approx(max(2.0, sram))
    assert f"{min(2.0, sram):.3g} to {max(2.0, sram):.3g} pJ" in figure.uncertainty
    assert figure.label == "assumed"
    beyond = priced(path, "rom-16").energy_sources["rom"]
    assert beyond.value is None
    assert "rom_bank_bytes 512 to 8192, not 131072" in beyond.source


def test_a_gated_clock_by_hand(write: Callable[..., str]) -> None:
    gates = "gated_um2 = { 256 = 5.0 }\nsinks = { 256 = 100 }"
    path = write(
        (f"value = 0.01\n{SOURCED}", f"value = 2.0\n{SOURCED}"),
        ("{ 256 = 1, 4096 = 2 }", f"{{ 256 = 30000, 4096 = 30001 }}\n{gates}"),
    )
    machine = accelerator.load("ews-cms-16", {"technology": path})
    found = technology.load(machine.technology)
    # Without gates of their own: ARF 400, PRF 800, loader 2, storer 100, control 10.
    assert found.per_cycle(machine)["clock"].value == pytest.approx(2.0 * (100 + 1312))
    accesses = {"wrf": 1100, "mac": 1000, "prf": 50, "arf": 7}
    # Behind gates of the array: all but 64 PEs x 16 words x 12 bits have a pulse with a token.
    array = 5 * (30000 - 100 - 64 * 16 * 12)
    pulses = found.clock_pulses(machine)
    counts = accesses | {"token": 5, "cycle": 10}
    spent = sum(pulses[what] * count for what, count in counts.items())
    assert spent == pytest.approx(2.0 * (array + 100 * 12 + 50 * 32 + 7 * 8))
    without = accelerator.load("ews-cms-16", {"technology": path, "clock_gating": False})
    assert found.clock_pulses(without) == {}
    assert found.per_cycle(without)["clock"].value == pytest.approx(2.0 * (30000 + 1312))
    assert found.areas(machine)["array"].value == pytest.approx(5e-6)


def test_dram_by_type() -> None:
    machine = accelerator.load("ews-16", {"dram": "hbm2"})
    found = cost([counts()], machine, technology.load("mvq40"))
    assert found.energy_pj["dram"] == pytest.approx(8 * 6.25 * counts().accesses["dram"])
    assert found.energy_pj["l2"] == pytest.approx(0.23 * 15 * counts().accesses["l2"])
    assert {name: figure.value for name in dram.types() for figure in [dram.energy(name)]} == {
        "ddr3": 560.0,
        "ddr4": None,
        "lpddr4": 64.0,
        "lpddr5": None,
        "hbm2": 50.0,
        "hbm3": pytest.approx(32.4),
    }
    assert all(dram.energy(name).source for name in dram.types())
    with pytest.raises(InputError, match=r"'lpddr[45]'"):
        dram.energy("lpddr")
    unknown = cost([counts()], machine.model_copy(update={"dram": "ddr4"}), technology.load("mvq40"))
    assert unknown.total_pj is None
    assert unknown.total_without_dram_pj is not None


@pytest.mark.parametrize(
    ("node", "factor"),
    [(65, 2.19 / 1.1), (45, 0.97 / 0.68), (45, 0.67 / 0.47), (28, 2.43 / 4.5), (16, 1.64 / 14)],
)
def test_scaling_by_the_printed_factors(node: int, factor: float) -> None:
    machine = accelerator.preset("ews-16")
    base, scaled = (cost([counts()], machine, technology.load(name)) for name in ("mvq40", f"mvq40@{node}"))
    assert scaled.energy_pj["dram"] == base.energy_pj["dram"]
    ratio = (scaled.total_without_dram_pj or 0) / (base.total_without_dram_pj or 1)
    assert ratio == pytest.approx(factor, rel=0.005)
    assert scaled.total_mm2 is None
    assert "Stillmaker" in scaled.energy_sources["mac"].source
    assert scaled.energy_sources["mac"].label == "derived"
    assert scaled.energy_sources["rom"].label == "assumed"


def test_borrowed_memories_by_hand(write: Callable[..., str]) -> None:
    factors = "energy_factor = 0.5\nleakage_factor = 0.25\narea_factor = 0.125\n"
    table = '[memory]\ntable = "sg13g2"\n'
    own, borrowed = write(), write((table, table + factors + SOURCED.replace("measured", "assumed")))
    plain, changed = (technology.load(path) for path in (own, borrowed))
    machine = accelerator.preset("ews-16")
    for name in ("l1", "l2"):
        assert changed.energies(machine)[name].value == plain.energies(machine)[name].value / 2
        assert changed.areas(machine)[name].value == plain.areas(machine)[name].value / 8
        assert (changed.energies(machine)[name].label, changed.areas(machine)[name].label) == ("assumed",) * 2
        assert "somewhere" in changed.energies(machine)[name].uncertainty
    cells = 0.5 * sum(
        figure.value for name, figure in plain.areas(machine).items() if name not in ("l1", "l2", "buffers")
    )
    whole, quarter = (found.standing(machine)["leakage"].value for found in (plain, changed))
    assert quarter - cells == pytest.approx((whole - cells) / 4)


def test_memories_of_asap7_are_scaled_by_the_equations_of_stillmaker_and_baas() -> None:
    memories, machine = technology.load("asap7").memory, accelerator.preset("ews-64")
    old, new = 7.171 * 1.2**2 - 6.709 * 1.2 + 2.904, 0.1776 * 0.7**2 - 0.09097 * 0.7 + 0.02447
    assert memories.energy_factor == pytest.approx(new / old, rel=1e-3)
    cells = [technology.load(name).leakage_mw_per_mm2.value for name in ("asap7", "sg13g2")]
    assert memories.leakage_factor == pytest.approx(memories.area_factor * cells[0] / cells[1], rel=1e-3)
    assert technology.load("asap7").energies(machine)["l2"].label == "assumed"
