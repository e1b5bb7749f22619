"""What `explore doctor` examines on a board: diagnoses, each with a remedy."""
