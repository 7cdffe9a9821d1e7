"""The cycle engine: values, cycles by cause and accesses, as `docs/timing.md` says."""

from sim.results import Simulation
from sim.systolic.engine.core import LayerRun, run_program
from sim.systolic.engine.simulate import simulate
from sim.systolic.engine.spans import Recorder

__all__ = ["LayerRun", "Recorder", "Simulation", "run_program", "simulate"]
