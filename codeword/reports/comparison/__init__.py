"""Methods against machines: accuracy from training, cost from the simulator, one table."""
