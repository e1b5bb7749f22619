"""A whole Raspberry Pi without one: a real OpenSSH server, the board's programs emulated, its QPUs simulated."""
