"""How near guided searches come to the front of a space that was tried whole."""
