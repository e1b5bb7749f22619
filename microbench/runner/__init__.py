"""The runner: a small C program that answers a host's framed requests, and the host's side of it."""
