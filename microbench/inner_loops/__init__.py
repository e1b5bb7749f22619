"""What compilers made of the inner loops of C kernels: disassembly, loops, counts and pipeline models."""
