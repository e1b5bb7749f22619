"""Frames of a camera through a bundle's queue: throughput, latencies, dropped frames."""
