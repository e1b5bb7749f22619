"""What one core can do at most, measured on the machine at hand."""
