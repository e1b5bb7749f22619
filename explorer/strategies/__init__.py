"""Which candidates are measured next: a strategy a file, found by entry point."""
