"""A virtual board with a real one's constants, which the search asks in its place as far as it can."""
