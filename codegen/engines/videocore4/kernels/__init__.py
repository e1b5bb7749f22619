"""Kernel generators: shapes of the inner loop in, encoded QPU code out."""
