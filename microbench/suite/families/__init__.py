"""One file a family of microbenchmarks; each has a function of the board's shape and of the TMU queue's depth."""
