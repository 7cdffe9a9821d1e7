"""What edits of videos take: evaluations, shared weights, stored attention."""

from __future__ import annotations

import pytest

from sim.shapes import PassShape
from sim.workloads import Workload, unet, workload
from sim.workloads.video import wan


@pytest.mark.parametrize(
    ("name", "petamacs"), [("wan2.1-1.3b", 2.8), ("wan2.1-14b", 21.4), ("cogvideox-5b", 11.4)]
)
def test_an_edit_by_dfvedit(name: str, petamacs: float) -> None:
    """PMAC of 196 evaluations at 512x512, derived; a batch of the four branches shares its weights."""
    one, batched = workload(f"{name}-edit"), workload(f"{name}-batched-edit")
    assert round(one.passes * one.macs / 1e15, 1) == petamacs
    assert (one.passes, batched.passes) == (196, 49)
    assert one.parameters == batched.parameters
    attention = [
        sum(s.macs for s in found.shapes if s.name.endswith((".scores", ".mix"))) for found in (one, batched)
    ]
    assert attention[1] == 4 * attention[0]  # no clip looks at another
    shared = 196 * one.macs / (49 * batched.macs) - 1
    assert 0 <= shared < 2e-5  # time and modulation are computed once


@pytest.mark.parametrize(
    ("size", "petamacs"), [((41, 480, 864), (68.2, 10.3)), ((41, 512, 864), (74.5, None))]
)
def test_larger_edits_by_dfvedit(size: tuple[int, int, int], petamacs: tuple[float, float | None]) -> None:
    for expected, sizes in zip(petamacs, ((40, 5120, 13824), (30, 1536, 8960)), strict=True):
        if expected is not None:
            assert round(196 * wan("wan", *sizes, size).macs / 1e15, 1) == expected


def test_what_freemask_stores() -> None:
    """Derived: 1.09 GB a step in float16 for 8 frames (self 0.84 and 0.11, cross 0.10, over time 0.05), 2.89 for 20."""
    stored = [s for s in workload("zeroscope-inverting-edit").shapes if s.name.endswith(".stored")]
    sizes = {
        kind: 2 * sum(s.elements for s in stored if part in s.name) / 1e9
        for kind, part in (("self", ".space.self"), ("cross", ".space.cross"), ("time", ".time"))
    }
    assert sizes == {
        "self": pytest.approx(0.84 + 0.11, abs=0.01),
        "cross": pytest.approx(0.10, abs=0.005),
        "time": pytest.approx(0.05, abs=0.01),
    }
    assert sum(sizes.values()) == pytest.approx(1.09, abs=0.01)
    longer = unet.zeroscope_inverting("longer", 20).shapes
    total = sum(s.elements for s in longer if s.name.endswith(".stored"))
    first = 2 * 64**2 * 8 * 20**2  # two maps over time where the frames come in, which 2.89 leaves out
    assert 2 * (total - first) / 1e9 == pytest.approx(2.89, abs=0.005)


def test_stored_maps_come_back_and_are_blended() -> None:
    plain, back = workload("zeroscope"), workload("zeroscope-fusing-edit")
    fused = unet.zeroscope_fusing("fused", fused=True, density=0.25, bits=4)
    gone = workload("zeroscope-inverting-edit")

    def sizes(found: Workload, end: str) -> list[int]:
        return [s.elements for s in found.shapes if isinstance(s, PassShape) and s.name.endswith(end)]

    assert sizes(gone, ".stored") == sizes(back, ".stored") == sizes(back, ".blend")
    assert sizes(fused, ".blend") == []
    assert [8 * size for size in sizes(fused, ".stored")] == sizes(back, ".stored")
    assert 50 * gone.macs + 50 * back.macs == pytest.approx(150 * plain.macs, rel=1e-4)
    assert 150 * plain.macs / 1e15 == pytest.approx(0.78, abs=0.005)
