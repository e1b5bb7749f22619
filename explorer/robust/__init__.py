"""Plans that stay good where the board's constants are not certain."""
