"""The built-in sections of reports, one a file; they register the way a plug-in does."""
