"""Kernels that skip the zeros of pruned weights: pixels on lanes, the pattern of what is not zero as data."""
