"""The digit-serial machine in Verilog (docs/spikes.md)."""
