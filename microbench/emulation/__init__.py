"""Boards' CPUs emulated by qemu-user: programs run as they would there, instructions are counted, time is modelled."""
