"""Kernels of integers of 8 bits whose sums are in int32."""
