"""The suites of all components."""

from __future__ import annotations

from rtl.mutate import bus, control, datapath, mask_path, storing
from rtl.mutate.suite import Suite

SUITES: tuple[Suite, ...] = (*mask_path.SUITES, *datapath.SUITES, *control.SUITES,
                             *storing.SUITES, *bus.SUITES)
