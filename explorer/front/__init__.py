"""The front of time against memory and processors left free."""
