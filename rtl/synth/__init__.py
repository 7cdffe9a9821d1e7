"""Synthesis onto standard cells, and checks of its result."""

from rtl.synth.flow import Component, Synthesis, synthesize, synthesize_modules
from rtl.synth.liberty import Library, read

__all__ = ["Component", "Library", "Synthesis", "read", "synthesize", "synthesize_modules"]
