"""Diffusion networks of diffusers in few bits, judged by the pictures of the float network."""

from __future__ import annotations

from algos.diffusion.calibrate import State, Training, calibrate
from algos.diffusion.clock import Clock
from algos.diffusion.model import Bits, Quantized, attach
from algos.diffusion.pool import Pool, rollout
from algos.diffusion.sampling import SCHEDULERS, Condition, Sampler, classes
from algos.diffusion.sensitivity import assigned, sensitivities, storage_cost
from algos.diffusion.tables import Tabulated, tabulate, time_path

__all__ = [
    "SCHEDULERS",
    "Bits",
    "Clock",
    "Condition",
    "Pool",
    "Quantized",
    "Sampler",
    "State",
    "Tabulated",
    "Training",
    "assigned",
    "attach",
    "calibrate",
    "classes",
    "rollout",
    "sensitivities",
    "storage_cost",
    "tabulate",
    "time_path",
]
