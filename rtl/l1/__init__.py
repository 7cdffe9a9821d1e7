"""L1: SRAM wrappers, the map groups and the psum store."""
