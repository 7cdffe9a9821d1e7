"""One machine in four technologies."""
