"""Compression methods in PyTorch; each ends in a `sim.network.Network` of integers."""
