"""The QPU toolchain: instruction set, scheduler, validator, kernels and the linker."""
