"""Microbenchmarks of a CPU, by whatever runs programs on it, and the constants of its profile that they give."""
