"""Domains: what is refused, and the way to a file and back."""

import math

import numpy as np
import pytest

from theory import L2, Contraction, Domain, Linf, WeightedLinf
from theory.certificates import Contraction as Same
from theory.domain import domain_from_dict
from theory.theorems import contractive_of_composition


def box(**changed):
    return Domain(
        **{"low": [-1.0, 0.0], "high": [0.5, 2.0], "input_low": [-math.inf], "input_high": [1.0]}
        | changed
    )


def test_membership_includes_the_ends():
    one = box()
    assert one.contains_states([[-1.0, 0.0], [0.5, 2.0]])
    assert not one.contains_states([0.5, np.nextafter(2.0, 3.0)])
    assert not one.contains_states([math.nan, 0.0])
    assert one.contains_inputs([[-1e300], [1.0]])
    assert not one.contains_inputs([[math.nan]])
    assert one.reach.tolist() == [1.0, 2.0]
    assert (one.state_dim, one.input_dim) == (2, 1)


def test_the_description_is_exact():
    one = box(low=[-0.1, 0.0])
    again = domain_from_dict(one.to_dict())
    assert again.same_as(one)
    assert not again.same_as(box())
    assert not again.same_as(None)
    with pytest.raises(ValueError, match="KeyError at 'low'"):
        domain_from_dict({})
    with pytest.raises(ValueError, match="not a domain"):
        domain_from_dict({**one.to_dict(), "low": ["one", "two"]})


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"low": [0.25, 0.0]}, "the interval of state 0"),
        ({"high": [0.5, -1.0]}, "the interval of state 1"),
        ({"low": [-1.0]}, "needed as many"),
        ({"high": [0.5, math.inf]}, "high"),
        ({"input_low": [math.nan]}, "without NaN"),
        ({"input_low": [2.0]}, "in order"),
        ({"input_low": [0.0, 0.0]}, "one length"),
    ],
)
def test_malformed_boxes(changed, message):
    with pytest.raises(ValueError, match=message):
        box(**changed)


def test_a_contraction_says_where_it_holds():
    local = Contraction.assumed(0.5, Linf(), domain=box())
    assert "domain=h in [-1, 0.5] x [0, 2], x_i <= 1" in repr(local)
    # what has too many digits is rounded up, and says that the box is within
    third = Contraction.assumed(0.5, Linf(), domain=box(low=[-1 / 3, 0.0]))
    assert "domain=a box of states within |h_i| <= 2, x_i <= 1" in repr(third)
    assert local.to_dict()["domain"] == box().to_dict()
    assert local.holds_for(np.zeros((3, 2)), np.zeros((3, 1)))
    assert not local.holds_for(np.full((1, 2), 3.0), np.zeros((3, 1)))
    assert not local.holds_for(np.zeros((1, 2)), np.full((3, 1), 2.0))
    assert Contraction.assumed(0.5).holds_for(np.full((1, 7), 1e9), np.zeros((1, 1)))
    assert Same is Contraction
    with pytest.raises(ValueError, match="domain="):
        Contraction.assumed(0.5, domain=(1.0, 2.0))
    with pytest.raises(ValueError, match="norm on"):
        Contraction.assumed(0.5, WeightedLinf([1.0, 1.0, 1.0]), domain=box())


def test_a_composition_needs_one_domain():
    local, everywhere = Contraction.assumed(0.5, L2(), domain=box()), Contraction.assumed(0.5, L2())
    assert contractive_of_composition(local, local, dim=2).domain.same_as(box())
    assert contractive_of_composition(everywhere, everywhere, dim=2).domain is None
    for pair in ((local, everywhere), (everywhere, local)):
        with pytest.raises(ValueError, match="needed one domain"):
            contractive_of_composition(*pair, dim=2)
