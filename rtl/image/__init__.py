"""A network as files for a system: memory, registers, layout, expected output, and a test bench that uses them."""

from rtl.image.write import Written, write

__all__ = ["Written", "write"]
