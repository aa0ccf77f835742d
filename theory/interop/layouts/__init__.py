"""The layouts of named arrays: of PyTorch, of Keras, and of this package."""
