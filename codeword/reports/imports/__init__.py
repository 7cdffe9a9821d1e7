"""What the importers take of the networks that others publish."""
