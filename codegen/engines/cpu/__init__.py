"""C for the CPU: algorithms that emit it, the compilers that build it."""
