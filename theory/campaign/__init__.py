"""The attempt to refute every theorem, and to refute every near miss; see `runner` and `recipes`."""
