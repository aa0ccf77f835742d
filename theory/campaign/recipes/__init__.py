"""Recipes: from a generator of random numbers to an experiment; `table` lists them all."""
