"""Candidates on a board: jobs, their compilation in parallel, the bench, the judgement of outputs."""
