"""The attempt to refute every theorem and every near miss; see `runner` and `recipes`."""
