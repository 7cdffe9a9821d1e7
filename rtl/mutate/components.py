"""The suites of all components."""

from __future__ import annotations

from rtl.mutate import bus, control, datapath, mask_path, memories, storing
from rtl.mutate.suite import Suite

SUITES: tuple[Suite, ...] = (*mask_path.SUITES, *datapath.SUITES, *control.SUITES,
                             *memories.SUITES, *storing.SUITES, *bus.SUITES)
