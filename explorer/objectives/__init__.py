"""What a plan can be good at: quantities with units, of which some can be priced against latency."""
