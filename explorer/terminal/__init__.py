"""What commands say and how they end: units, progress, exit codes."""
