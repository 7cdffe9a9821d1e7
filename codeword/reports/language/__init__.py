"""What language models cost on the machines, a token."""
