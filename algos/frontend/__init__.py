"""From PyTorch modules to shapes and to layers of integers."""
