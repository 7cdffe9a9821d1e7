"""Face presentation attacks, synthetic: a teacher that sees motion, a student that does not, and its cost."""
