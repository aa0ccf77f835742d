"""The kinds of files that weights come in, each read without running anything that is in it."""
