"""What is found once for a map and its inputs: the same as each question by itself finds."""

import numpy as np
import pytest

from theory import LSTM, Inputs, VanillaRNN
from theory.certify import contractions, find_certificates, invariant_domain

MONE = VanillaRNN([[0.9, -1.0], [0.5, -0.9]], np.eye(2))
BIASED = VanillaRNN([[1.6, -0.4], [0.3, 1.5]], np.eye(2), [3.0, 3.0])
CELL = LSTM(0.1 * np.ones((4, 1)), 0.3 * np.ones((4, 1)))


@pytest.mark.parametrize("recurrent", [MONE, BIASED, CELL])
def test_they_are_those_of_the_separate_questions(recurrent):
    inputs = Inputs.ball(0.1)
    found = find_certificates(recurrent, inputs, effort=2)
    assert found.states.same_as(invariant_domain(recurrent, inputs=inputs))
    alone = contractions(recurrent, iterates=True)
    local = contractions(recurrent, inputs=inputs, iterates=True)
    for mine, others in ((found.everywhere, alone), (found.local, local)):
        for name, c in mine.items():
            assert (c.lam, c.iterate) == (others[name].lam, others[name].iterate)
    assert all(c.domain is None for c in found.everywhere.values())
    assert all(inputs.within(c.domain.inputs, recurrent.input_dim) for c in found.local.values())
    least = min(c.lam for c in found.named.values() if c.iterate == 1)
    assert (found.best.lam, found.best.iterate) == (least, 1)


def test_one_method_and_no_certificate():
    assert list(find_certificates(BIASED, Inputs.ball(0.1), method="lmi").named) == [
        "lmi, on the box"
    ]
    none = find_certificates(VanillaRNN([[2.0]], [[1.0]]), Inputs.ball(1))
    assert none.named == {}
    assert none.best is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"method": "magic"}, "needed one of: auto, row_sums, "),
        ({"effort": 3}, "effort=3"),
        ({"inputs": 1.0}, "does not say which inputs are meant"),
        ({"recurrent": 1.0}, "needed a Map"),
    ],
)
def test_malformed_questions(change, message):
    with pytest.raises(ValueError, match=message):
        find_certificates(**({"recurrent": MONE, "inputs": Inputs.ball(1)} | change))
