"""`explore qpu`: programs of the QPUs."""
