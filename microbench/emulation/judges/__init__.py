"""Other engines' own programs for AArch64 under a modelled core's clock, beside times that boards took for them."""
