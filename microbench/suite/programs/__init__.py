"""Programs of this project that make the accesses of published ones, as often and as far apart."""
