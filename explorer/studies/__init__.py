"""What measuring is worth, and this project beside its peers: what stands behind `explore bench`."""
