"""Software of the accelerator: a network becomes the memory that it runs from (docs/hardware.md)."""

from rtl.compiler.bank import compile_steps
from rtl.compiler.compile import compile, compile_layer, universal_codebook
from rtl.compiler.image import Image, Layer, Stream, Window
from rtl.compiler.memory import Map

__all__ = [
    "Image",
    "Layer",
    "Map",
    "Stream",
    "Window",
    "compile",
    "compile_layer",
    "compile_steps",
    "universal_codebook",
]
