"""Engines: processors that run layers. Each is a folder here, or a package of its own."""
