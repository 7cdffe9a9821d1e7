"""The hardware: Amaranth components, their Verilog, and the bench that compares both with `sim`."""
