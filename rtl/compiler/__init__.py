"""Software of the accelerator: a network becomes the memory that it runs from (docs/hardware.md)."""

from rtl.compiler.compile import compile, compile_layer
from rtl.compiler.image import Image, Layer, Stream
from rtl.compiler.memory import Map

__all__ = ["Image", "Layer", "Map", "Stream", "compile", "compile_layer"]
