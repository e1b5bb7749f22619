"""The commands of `explore`."""
