"""From a searched network to a plan and the check of its bundle."""
