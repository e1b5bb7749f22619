"""A run that goes on, as a page on loopback: what it tells goes to a file in its directory, and the page reads that."""
