"""The array: tiles of PEs with their WRF, and the PRF below it."""
