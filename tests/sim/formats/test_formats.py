"""Every weight format: its records against the functional decoder, its rules and its names."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim import accelerator, formats
from sim.errors import InputError
from sim.network import WEIGHTS, CodebookWeight
from tests.sim.systolic.cases import slow_decode

PRESETS = {
    "dense": "ews-8",
    "vq": "ews-c-8",
    "mvq": "ews-cm-16",
    "ssvq": "ssvq-8",
    "rom": "rom-8",
    "int4": "int4-g128-8",
    "int3": "int3-g64-8",
    "int2": "int2-g32-8",
    **{name: f"{name}-8" for name in ("mxfp4", "nvfp4", "mxint8", "ternary", "aqlm")},
}


def drawn(form, machine, seed, k=11):
    rng = np.random.default_rng(seed)
    shape = (2 * machine.codeword_length, 3, 2, 1)
    fields = form.draw(
        shape,
        k,
        machine,
        lambda limit, size: rng.integers(0, limit, size).astype(np.uint16),
        lambda size: rng.integers(-128, 128, size).astype(np.int8),
    )
    return WEIGHTS[form.weight](**fields)


def slow_records(weight, machine) -> np.ndarray:
    """Records by the table of MVQ and SSVQ: strings of bits, the last field leftmost."""
    bits = max(1, int(np.ceil(np.log2(len(weight.codebook)))))
    out = np.zeros(weight.assignments.shape, np.int64)
    for place in np.ndindex(out.shape):
        text = f"{weight.assignments[place]:0{bits}b}"
        if weight.signs is not None:
            text += f"{weight.signs[place]:0{machine.codeword_length}b}"
        if weight.mask_codes is not None:
            text += "".join(f"{code:011b}" for code in weight.mask_codes[place][::-1])  # 4:16
        out[place] = int(text, 2)
    return out


@pytest.mark.parametrize("name", formats.FORMATS)
@given(seed=st.integers(0, 2**32), k=st.integers(2, 16))
def test_records_stand_for_the_weights(name, seed, k):
    """Packed by the format, decoded by it, by the functional model, and one record at a time."""
    form = formats.named(name)
    machine = accelerator.load(PRESETS[name], {"keep": 4, "group": 16, "scale_group": 1 + seed % 4})
    weight = drawn(form, machine, seed, k)
    codebook = getattr(weight, "codebook", np.zeros((0, 8), np.int8))
    stream = form.pack(weight, machine)
    np.testing.assert_array_equal(weight.decode(), slow_decode(weight))
    np.testing.assert_array_equal(form.decode(stream, machine, codebook), slow_decode(weight))
    assert weight.format == form.weight
    if isinstance(weight, CodebookWeight):
        np.testing.assert_array_equal(stream, slow_records(weight, machine))
        assert stream.max() < 1 << form.unit_bits(machine, k)


@pytest.mark.parametrize("name", formats.FORMATS)
def test_a_machine_of_every_format(name):
    machine = accelerator.preset(PRESETS[name])
    assert machine.format == name
    assert machine.weights is formats.named(name) is formats.stream(name)


def test_codes_in_the_register_are_what_drivers_know():
    """docs of version 0.1: 0 dense, 1 codebook, 2 masked, 3 signed, 4 rom."""
    known = {"dense": (0, "dense"), "vq": (1, "codebook"), "mvq": (2, "masked")}
    known |= {"ssvq": (3, "signed"), "rom": (4, "rom")}
    later = ("int4", "int3", "int2", "mxfp4", "nvfp4", "mxint8", "ternary")
    known |= {name: (5 + n, name) for n, name in enumerate(later)} | {"aqlm": (12, "additive")}
    assert {form.name: (form.code, form.loader) for form in formats.FORMATS.values()} == known


@pytest.mark.parametrize("old", ["dense", "codebook", "masked", "signed", "rom"])
def test_descriptions_that_say_loader_still_read(tmp_path, old):
    path = tmp_path / "mine.toml"
    path.write_text(f'base = "ews-c-16"\nloader = "{old}"\ngroup = 8\n')
    expected = {"codebook": "vq", "masked": "mvq", "signed": "ssvq"}.get(old, old)
    assert accelerator.load(path).format == expected
    assert accelerator.load("ews-16", {"loader": old, "codeword_length": 8, "group": 8}).format == expected


@pytest.mark.parametrize(
    ("name", "fix"),
    [("mqv", "'mvq'"), ("masked", "use one of aqlm, dense, int2"), (3, "format is: of the weights")],
)
def test_unknown_formats_are_refused(name, fix):
    with pytest.raises(InputError, match=rf"format = {name!r}: .*{fix}"):
        accelerator.load("ews-16", {"format": name})


def test_layouts_are_streams_and_no_weight_formats():
    for name, form in formats.LAYOUTS.items():
        assert formats.stream(name) is form
        assert form.weight == "dense"
        with pytest.raises(InputError, match="no such weight format"):
            formats.named(name)
    with pytest.raises(InputError, match=r"format = 'blok': no such weight stream. Fix: use 'block'"):
        formats.stream("blok")


def test_a_sparse_tile_wants_a_format_with_masks():
    with pytest.raises(InputError, match=r"needs masked weights, not vq\. Fix: set format = 'mvq'"):
        accelerator.load("ews-cms-16", {"format": "vq"})
