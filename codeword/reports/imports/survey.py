"""Imports everything that is found and writes what came out."""
