"""Settings of tests that say how near to failing an example is: `aimed`."""

from hypothesis import settings

#: With a database Hypothesis keeps and shrinks a Pareto front of what `target` is told, a quarter
#: to half of the time of such a test.  A failing example is printed, to be pasted, all the same.
aimed = settings(database=None, print_blob=True)
