"""Boards' CPUs emulated by qemu-user: programs run as they would there, and their instructions are counted."""
