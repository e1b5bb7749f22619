"""Floor 4: the search, the exact composition and the command line `explore`."""
