"""`explore bench`, a file per subcommand."""
