"""What the commands `explore qpu` read, run and print."""
