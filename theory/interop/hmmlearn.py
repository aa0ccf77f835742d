"""Hidden Markov models fitted by hmmlearn; hmmlearn itself is not needed.

Main name: `from_hmmlearn`.
"""

from __future__ import annotations

from typing import Any

from theory.sources.hidden_markov import HiddenMarkovModel


def from_hmmlearn(fitted: Any) -> HiddenMarkovModel:
    """Return the source of a fitted model of symbols, such as hmmlearn's ``CategoricalHMM``.

    Its start is the stationary distribution of the transitions; ``startprob_``, where training
    sequences began, does not enter.

    Parameters
    ----------
    fitted
        Anything with ``transmat_`` and ``emissionprob_``.

    Returns
    -------
    HiddenMarkovModel

    Raises
    ------
    ValueError
        If something is missing, as before fitting or of a model of real-valued observations, or
        the probabilities are improper.
    """
    missing = [
        name for name in ("transmat_", "emissionprob_") if getattr(fitted, name, None) is None
    ]
    if missing:
        raise ValueError(
            f"{type(fitted).__name__} has no {', '.join(missing)}; needed a fitted model over a "
            "finite alphabet, as hmmlearn.hmm.CategoricalHMM().fit(symbols) gives; a Gaussian one "
            "has no such alphabet"
        )
    trials = getattr(fitted, "n_trials", None)
    if trials is not None:
        raise ValueError(
            f"{type(fitted).__name__} counts symbols in n_trials={trials!r} draws at a time; "
            "needed one symbol at a time, as in CategoricalHMM"
        )
    return HiddenMarkovModel(fitted.transmat_, fitted.emissionprob_)
