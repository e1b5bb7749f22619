"""What the QPUs can compute: each algorithm lowers a layer to kernels, packed weights and uniform blocks."""
