"""The attempt to refute every theorem and every near miss, in parallel, resumable, replayable.

`tasks` says what is done, `recipes` builds instances, `runner` judges them, `results` sums up,
`record` reads campaign files, `replay` judges them again, and `report` draws the page.
"""
