"""The farm: boards of one class that share a search's candidates, over Dask distributed."""
