"""Run the shipped compressed network on a sparse array, bit for bit, and look for the cycles."""

import numpy as np

import codeword

images = np.random.default_rng(0).integers(-128, 128, (4, 1, 28, 28)).astype(np.int8)
run = codeword.simulate("resnet20-fashion", "ews-cms-16", images)
print(f"every tensor equals the functional model: {run.bit_exact}")
for layer in run.layers:
    stalls = {cause: n for cause, n in layer.cycles.items() if n and cause != "compute"}
    print(f"{layer.name:16} {layer.total_cycles:>6,} cycles, not computing: {stalls}")
