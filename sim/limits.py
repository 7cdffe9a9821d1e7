"""The largest sizes that anything takes: what lies beyond is a slip, or would not end."""

LARGEST = 2**24
"""Channels, rows and columns of a map, and what a kernel, stride, padding, dilation or factor may be."""
ELEMENTS = 2**31
"""Of a map of a network of integers."""
MACS = 2**56
"""Multiply-accumulates of a layer; counts of a network stay within 64 bits."""
IMAGES = 2**20
"""Of a run."""
