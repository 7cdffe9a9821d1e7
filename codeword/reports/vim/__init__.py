"""ViM-VQ beside its ablations."""
