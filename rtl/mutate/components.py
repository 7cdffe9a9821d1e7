"""The suites of all components."""

from __future__ import annotations

from rtl.mutate import control, datapath, mask_path
from rtl.mutate.suite import Suite

SUITES: tuple[Suite, ...] = (*mask_path.SUITES, *datapath.SUITES, *control.SUITES)
