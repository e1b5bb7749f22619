"""Samples of a store as tables and files."""
