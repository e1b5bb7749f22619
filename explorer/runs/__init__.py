"""What a run leaves behind: its report as data, its directory, tables and comparisons of runs."""
