"""Networks that the methods are reproduced on."""
