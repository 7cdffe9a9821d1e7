"""The ifmap loader: from words of L1 to the ARF windows that feed the array."""
