"""Modules that others wrote, from PyTorch to integers, the engine and the RTL."""
