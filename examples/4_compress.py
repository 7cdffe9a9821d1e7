"""Compress the shipped network with masked vector quantization, without fine-tuning."""

import codeword
from codeword.api import quality

network = codeword.compress("resnet20-fashion", k=32, epochs=0)
found = quality(network)
print(
    f"{found['bits_per_weight']:.2f} bits a weight, {found['compression_ratio']:.1f}x, "
    f"{found['accuracy']:.1%} of {found['test_images']} test images"
)
print(f"{codeword.estimate(network, 'ews-cms-16').cost.total_pj * 1e-6:.2f} uJ an image")
