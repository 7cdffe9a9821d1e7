"""Compression methods: PyTorch networks in, networks of integers out."""
