"""Kernels for whatever no faster one computes: any element type, any rank, row-major, one element at a time."""
