"""The suites of all components."""

from __future__ import annotations

from evidence.mutation import (
    bus,
    commanding,
    control,
    datapath,
    digit_packets,
    digit_system,
    digits,
    fetching,
    finishing,
    layer_control,
    loading,
    mask_path,
    memories,
    reading,
    registers,
    rows,
    segments,
    sequencing,
    storing,
    stripes,
    system,
    writing,
)
from evidence.mutation.suite import Suite

SUITES: tuple[Suite, ...] = (
    *mask_path.SUITES,
    *datapath.SUITES,
    *control.SUITES,
    *memories.SUITES,
    *rows.SUITES,
    *segments.SUITES,
    *fetching.SUITES,
    *storing.SUITES,
    *stripes.SUITES,
    *finishing.SUITES,
    *loading.SUITES,
    *sequencing.SUITES,
    *bus.SUITES,
    *reading.SUITES,
    *writing.SUITES,
    *commanding.SUITES,
    *registers.SUITES,
    *layer_control.SUITES,
    *system.SUITES,
    *digits.SUITES,
    *digit_packets.SUITES,
    *digit_system.SUITES,
)
