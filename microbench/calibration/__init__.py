"""Finds the constants of a board's profile from the launch times of the microbenchmark suite."""
