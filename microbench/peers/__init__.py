"""Other inference engines beside this project's bundles: each in an environment of its own, measured turn by turn."""
