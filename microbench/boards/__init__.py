"""Boards: each file is one, registered under the entry-point group `explore.boards`."""
