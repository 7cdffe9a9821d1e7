"""The storer: from psums and pass operands to finished rows in L1."""
