"""How the time of the engine and of the closed form grows."""
