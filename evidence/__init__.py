"""What the RTL is held against: proofs, mutants, coverage bins. Not in the wheel; imported by tests alone."""
