"""Everything that talks AXI: ports to memory, what moves through them, and the registers."""
