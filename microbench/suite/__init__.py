"""Microbenchmarks of the VideoCore IV: small QPU programs whose launch times tell a board's constants."""
