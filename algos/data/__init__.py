"""Image sets that the methods are reproduced on."""
