"""All of Numba: arrays in, arrays out.

`jit` holds the compile options, `simulate` and `blocks` are called by maps, and every other file is
one closure of compiled loops, since Numba's cache watches a single file.
"""
