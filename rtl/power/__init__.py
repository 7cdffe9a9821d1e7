"""Energy of our own netlists from simulated activity and Liberty tables."""

from rtl.power.characterize import Characterization, Fit, characterize, to_toml
from rtl.power.energy import Energy, EnergyModel
from rtl.power.evaluator import Activity, Evaluator
from rtl.power.netlist import Netlist, flatten
from rtl.power.tables import Tables

__all__ = [
    "Activity",
    "Characterization",
    "Energy",
    "EnergyModel",
    "Evaluator",
    "Fit",
    "Netlist",
    "Tables",
    "characterize",
    "flatten",
    "to_toml",
]
