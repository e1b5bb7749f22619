"""Whole plans run in turns, and what their steps take in the network."""
