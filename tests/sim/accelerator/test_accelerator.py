"""Presets and the errors of a wrong description."""

from __future__ import annotations

import pytest

from sim import accelerator
from sim.accelerator.systolic_presets import FAMILIES
from sim.errors import InputError
from sim.shapes import ConvShape
from sim.systolic.schedule import Schedule


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("size", [4, 8, 16, 32, 64, 128, 256])
def test_every_family_exists_at_every_power_of_two(family, size):
    machine = accelerator.preset(f"{family}-{size}")
    assert (machine.rows, machine.columns) == (size, size)
    assert machine.sparse_tile == family.endswith("cms")
    if machine.sparse_tile:
        assert machine.multipliers == size * size // 4
        assert machine.codeword_length == min(16, size)
    assert machine.latency == machine.row_stages + machine.column_stages + 7  # docs/timing.md 5


def test_paper_settings():
    """MVQ sec. 7.1 and Table 9."""
    machine = accelerator.preset("ews-cms-64")
    assert machine.multipliers == 1024
    assert machine.peak_tops == pytest.approx(2.458, abs=5e-4)
    assert machine.record_bits(512) == 20
    common = accelerator.preset("ews-c-64")
    assert (common.codeword_length, common.codebook_entries) == (8, 1024)
    assert common.record_bits(1024) == 10
    assert accelerator.preset("ews-cms-16").l1_bytes == 128 * 1024


@pytest.mark.parametrize("size", [1024, 4096, 256 * 1024])
def test_the_groups_of_l1_are_the_whole_of_it(size):
    machine = accelerator.load("ews-8", {"l1_bytes": size})
    groups = (machine.ifmap_bytes, machine.psum_bytes, machine.ofmap_bytes, machine.residual_bytes)
    assert sum(groups) == size
    assert [size // group for group in groups] == [4, 2, 8, 8]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("ews-cmz-64", "use 'ews-cm"),
        ("nonsense", "use one of aqlm, ews, ews-c"),
        ("ews-257", "rows = 257"),
        ("ews-3", "rows = 3"),
        ("ews", "write ews-64"),
    ],
)
def test_wrong_presets(name, text):
    with pytest.raises(InputError, match=text):
        accelerator.preset(name)


@pytest.mark.parametrize(
    ("overrides", "text"),
    [
        ({"wrf_deph": 8}, "wrf_deph = 8: .*use 'wrf_depth'"),
        ({"wrf_depth": 0}, "wrf_depth = 0"),
        ({"wrf_depth": "many"}, "wrf_depth = 'many'"),
        ({"weight_port_bits": 192}, "weight_port_bits = 192: not a power of two"),
        ({"l2_weight_bytes": 2**21}, "l2_weight_bytes = 2097152: leaves no room for maps"),
        ({"tile_rows": 5}, "rows = 16: not a multiple of tile_rows = 5"),
        ({"keep": 3}, "group = 16: not a multiple of keep = 3"),
        ({"format": "dense"}, "sparse_tile = True: needs masked weights"),
        ({"extension": (4, 2, 3)}, r"extension = \(4, 2, 3\): A\*B\*D = 24 does not fit wrf_depth = 16"),
        ({"wrf_depth": 3}, "wrf_depth = 3: a dense weight needs 4 sub-records"),
    ],
)
def test_wrong_fields_name_field_value_and_fix(overrides, text):
    with pytest.raises(InputError, match=text):
        accelerator.load("ews-cms-16", overrides)


def test_toml_file_builds_on_a_preset(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('base = "ews-cms-16"\nwrf_depth = 32\n')
    machine = accelerator.load(path, {"clock_hz": 1e9})
    assert (machine.name, machine.wrf_depth, machine.clock_hz) == ("mine", 32, 1e9)
    path.write_text("wrf_depth = [")
    with pytest.raises(InputError, match="not TOML"):
        accelerator.load(path)


def test_factors_over_the_register_file_are_refused():
    machine = accelerator.preset("ews-16")
    shape = ConvShape("layer", 64, 64, (3, 3), padding=(1, 1), size=(8, 8))
    with pytest.raises(InputError, match=r"A\*B\*D\*U = '3\*3\*1\*1': 9 entries exceed the 8"):
        Schedule(machine, shape, A=3, B=3, D=1)
    Schedule(machine, shape, A=3, B=3, D=1, overlap=False)
    with pytest.raises(InputError, match="weight-stationary array holds one weight"):
        Schedule(accelerator.preset("ws-16"), shape, A=2, overlap=False)
