"""The exact composition of a network from the timed candidates of its layers."""
