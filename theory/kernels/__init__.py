"""All of Numba: arrays in, arrays out; `jit` holds the compile options, `affine` the loops."""
