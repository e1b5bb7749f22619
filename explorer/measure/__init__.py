"""Candidates on a board: jobs, their compilation in parallel, the measurer, the judgement of outputs."""
