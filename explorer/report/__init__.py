"""Reports: notebooks of sections, and the page made from one."""
