"""Which candidates of each layer are measured, and in what order."""
