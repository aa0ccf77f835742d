"""The four questions, asked of prediction_gap: L_f (L_w distance + lam**k drive) / (1 - lam)."""

import numpy as np
from questions import (
    Asked,
    Typed,
    is_sharp,
    learning,
    learns_at_extremes,
)

from theory import Contraction, LinearMap
from theory.learning import prediction_gaps
from theory.strategies import learning_experiments
from theory.theorems import prediction_gap
from theory.theorems.prediction_gap import PREDICTION_GAP

TYPED = Typed(
    theorem=PREDICTION_GAP,
    counts=("k",),
    sizes=("drive", "weight_gain", "lipschitz", "distance"),
    rising=("drive", "weight_gain", "lipschitz", "distance"),
    falling=("k",),
)


def gap_of(w, v, k, T=200, head=1.0, start=None):
    """Return the last gap of h <- 0.5 h + bias with biases w and v, y = head h."""
    from theory import LinearHead, truncate

    models = [LinearMap([[0.5]], [[1.0]], [b]) for b in (w, v)]
    x, read = np.zeros((T, 1)), LinearHead([[head]])
    if start is None:
        return prediction_gaps(models[0], read, models[1], read, X=x, k=k)[-1]
    long = models[0].simulate(x, start)[-1, 0]
    return abs(long - truncate(models[1], k).states(x)[-1, 0])


def test_sharp_between_two_biases():
    is_sharp(PREDICTION_GAP, learning(0.5))


def broken():
    c = Contraction.assumed(0.5)
    claim = prediction_gap(c, k=2, drive=1.0, weight_gain=1.0, distance=0.5)
    growing = [LinearMap([[0.9]], [[1.0]], [b]).simulate(np.zeros((99, 1))) for b in (1.5, 1.0)]
    return {
        "contractive_set": (growing[0][-1, 0] - growing[1][1, 0], claim),
        "weight_lipschitz": (gap_of(4.0, 1.0, 2), claim),
        "same_start": (gap_of(1.5, 1.0, 2, T=3, start=[100.0]), claim),
        "drive_bounded": (gap_of(8.5, 8.0, 2), claim),
        "output_lipschitz": (gap_of(1.5, 1.0, 2, head=4.0), claim),
        "zero_start": (
            gap_of(0.0, 0.0, 2, T=3, start=[100.0]),
            prediction_gap(c, k=2, drive=0.0, weight_gain=1.0, distance=0.0),
        ),
    }


def witnesses():
    return {"distance of the weights alone": learning(0.5), "truncation alone": learning(0.5)}


ASKED = Asked(
    made=learning_experiments(),
    extremes=learns_at_extremes,
    broken=broken,
    witnesses=witnesses,
    typed=TYPED,
)
