"""One codebook for three networks."""
