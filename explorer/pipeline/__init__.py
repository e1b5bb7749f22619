"""One run from the model to the checked bundle."""
