"""A finished run's bundle on inputs of one's own: pictures and arrays in, classes and boxes out."""
