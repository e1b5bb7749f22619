"""What can be said of a network before anything is searched: `explore check`."""
