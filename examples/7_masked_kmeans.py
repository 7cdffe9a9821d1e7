"""Masked k-means (MVQ) on weights of one's own, in three lines."""

import torch

from algos import group, magnitude_mask, masked_kmeans

weight = torch.randn(64, 32, 3, 3, generator=torch.Generator().manual_seed(0))

vectors = group(weight, d=16)
kept = magnitude_mask(vectors, n=4, m=16)
found = masked_kmeans(vectors, kept, k=64)

lost = float(
    (vectors * kept - found.codebook[found.assignments] * kept).square().sum() / vectors.square().sum()
)
print(
    f"{len(vectors)} sub-vectors in {len(found.codebook)} codewords; error {lost:.1%} of the weights' energy"
)
