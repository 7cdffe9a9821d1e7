"""The cycle engine: values, cycles by cause and accesses, as `docs/timing.md` says."""

from sim.engine.core import LayerRun, run_program
from sim.engine.simulate import Simulation, simulate

__all__ = ["LayerRun", "Simulation", "run_program", "simulate"]
