"""The four questions, asked of contractive_of_layers."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from questions import Asked, is_sharp

from theory import BlockMax, CallableMap, Cascade, Contraction, LinearMap, Linf
from theory.campaign.recipes.layers import stack, stack_far, stack_sharp
from theory.strategies import factors
from theory.theorems import contractive_of_layers
from theory.theorems.contractive_of_layers import (
    CONTRACTIVE_OF_LAYERS,
    LEAST,
    ROOM,
    formula,
    layer_rates_of,
)

seeds = st.integers(0, 2**32 - 1)


def test_sharp_for_scalar_layers():
    is_sharp(CONTRACTIVE_OF_LAYERS, stack_sharp(np.random.default_rng(0)), slack=2.0**-40)


def broken():
    # a gate opens with the input: no gain of the lower state serves all of them
    gate = CallableMap(lambda h, x: x * h, state_dim=1, input_dim=1)
    loud = abs(gate.step(np.ones(1), np.array([3.0])) - gate.step(np.zeros(1), np.array([3.0])))[0]
    cell = Cascade([LinearMap([[0.5]], [[1.0]]), LinearMap([[0.5]], [[1.0]])])
    apart = Linf().vector(cell.step(np.ones(2), np.zeros(1)) - cell.step(np.zeros(2), np.zeros(1)))
    return {
        "layered": (loud, formula(own=0.5, gain=0.5, weight=1.0, lower=1.0, beneath=0.5)),
        # in the unweighted maximum norm (1, 1) goes to (1/2, 1)
        "block_maximum": (apart, formula(own=0.5, gain=1.0, weight=0.5, lower=1.0, beneath=0.5)),
        "in_domain": stack_far(np.random.default_rng(0)),
    }


def witnesses():
    rng = np.random.default_rng(1)
    return {
        "nothing comes from below": stack_sharp(rng),
        "the lower state seen a step later": stack_sharp(rng),
        "states outside the domain": stack_far(rng),
    }


ASKED = Asked(
    made=seeds.map(lambda seed: stack(np.random.default_rng(seed))),
    extremes=None,
    broken=broken,
    witnesses=witnesses,
)


@given(
    st.lists(factors().filter(lambda lam: lam <= 0.999), min_size=1, max_size=4),
    st.sampled_from((0.0, 1e-6, 0.5, 1e6)),
    st.none() | st.floats(0.1, 0.9),
)
@example(rates=[5e-324, 5e-324], gain=1e-6, share=None)
@example(rates=[5e-324, 5e-324], gain=1e-6, share=0.5)
@example(rates=[2.0**-1025, 2.0**-1025, 2.0**-1025, 0.0], gain=1e6, share=None)
@example(rates=[2.0**-1025, 2.0**-1025, 2.0**-1025], gain=1e6, share=None)
def test_typed_function(rates, gain, share):
    largest = max(rates)
    rate = None if share is None else largest + (1 - largest) * share
    layers = [Contraction.assumed(lam) for lam in rates]
    gains = [gain] * (len(rates) - 1)
    found = contractive_of_layers(layers, gains, sizes=[2] * len(rates), rate=rate)
    assert isinstance(found.norm, BlockMax)
    assert found.evidence.parts == tuple(layers)
    aimed = min(max(largest, LEAST) * (1 + ROOM), (1 + largest) / 2) if rate is None else rate
    # where numbers are subnormal, a sum that is rounded up is the next one
    assert largest <= found.lam <= aimed * (1 + 2.0**-30) + len(rates) * math.ulp(0.0)
    # in rationals, layer by layer
    weights, grown = [Fraction(w) for w in found.norm.weights.tolist()], [Fraction(rates[0])]
    for number in range(1, len(rates)):
        ratio = weights[number] / weights[number - 1]
        grown.append(Fraction(rates[number]) + Fraction(gain) * ratio * grown[-1])
    above = max(grown) * (1 + Fraction(1, 2**45)) + len(rates) * Fraction(math.ulp(0.0))
    assert max(grown) <= Fraction(found.lam) <= above
    bounds = layer_rates_of(rates, gains, found.norm.weights.tolist())
    assert all(Fraction(bound) >= exact for bound, exact in zip(bounds, grown, strict=True))


def test_boundary_cases():
    c = Contraction.assumed(0.5)
    alone = contractive_of_layers([c], [], sizes=[3])
    assert (alone.lam, alone.norm.parts) == (0.5, (c.norm,))
    assert contractive_of_layers([c, c], [1e300], sizes=[1, 1]) is None
    # nothing comes from below: units of about equal size
    apart = contractive_of_layers([c, Contraction.assumed(0.25, Linf())], [0.0], sizes=[4, 4])
    assert (apart.lam, apart.norm.weights.tolist()) == (0.5, [1.0, 2.0])
    zero = contractive_of_layers([Contraction.assumed(0.0)] * 2, [3.0], sizes=[1, 1])
    assert zero.lam == 0.0
    # a larger rate comes with weights that are less unequal
    ratios = [
        contractive_of_layers([c, c], [1.0], sizes=[1, 1], rate=rate).norm.weights[1]
        for rate in (0.51, 0.6, 0.9)
    ]
    assert ratios == sorted(ratios)
    assert ratios[0] < ratios[1] / 4


def test_malformed_questions():
    c = Contraction.assumed(0.5)
    for layers, gains, more, message in (
        ([], [], {"sizes": []}, "received 0 layers"),
        ([c, c], [], {"sizes": [1, 1]}, "received 2 layers, 0 gains and 2 sizes"),
        ([c, 0.5], [1.0], {"sizes": [1, 1]}, "needed a Contraction"),
        ([c, c], [-1.0], {"sizes": [1, 1]}, "gains"),
        ([c, c], [float("nan")], {"sizes": [1, 1]}, "gains"),
        ([c, c], [float("inf")], {"sizes": [1, 1]}, "gains"),
        ([c, c], [1.0], {"sizes": [1, 0]}, "sizes"),
        ([c, c], [1.0], {"sizes": [1, 1], "rate": 0.5}, "needed one above that of every layer"),
        ([c, c], [1.0], {"sizes": [1, 1], "rate": 1.0}, "lam"),
        ([c, Contraction.assumed(0.5, iterate=2)], [1.0], {"sizes": [1, 1]}, "2 steps together"),
    ):
        with pytest.raises(ValueError, match=message):
            contractive_of_layers(layers, gains, **more)
