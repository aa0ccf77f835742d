"""All of Numba: compile options in `jit`, kernels in `loops`, their callers in `affine`, `gaps`."""
