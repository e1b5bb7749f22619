"""The exact composition of a network from the options of its layers."""
