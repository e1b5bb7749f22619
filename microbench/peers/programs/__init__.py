"""Programs that run in the environments of peers: serve.py with an engine's file, and converters of networks."""
