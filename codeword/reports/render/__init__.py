"""One body of rows and text, several outputs."""
