"""C kernels on the channel-blocked layout: a vector register holds neighbouring channels of one pixel."""
