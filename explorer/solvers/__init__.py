"""The composition as a binary program, for solvers of others: what the own search is compared with."""
