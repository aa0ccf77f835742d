"""The four questions, asked of contractive_of_composition.

lam_first * lam_second * there * back
"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from questions import (
    Asked,
    holds_at_extremes,
    is_sharp,
    rounded_outward,
)

from theory import L1, Contraction, LinearMap, Linf, contraction, experiment
from theory.norms import over
from theory.strategies import experiments, factors, norms
from theory.theorems import contractive_of_composition, contractive_of_matrix_norm
from theory.theorems.contractive_of_composition import CONTRACTIVE_OF_COMPOSITION, formula


def pair(n=2, *, there=True, claims=(None, None)):
    """Return two maps that attain the constant on the way there, or back.

    First h / 2 + .., in the maximum (or sum) norm; then all entries are added into one (or one is
    spread over all), in the sum (or maximum) norm.
    """
    one, first = np.ones((n, 1)), np.eye(n)[:, :1]
    norms = (Linf(), L1()) if there else (L1(), Linf())
    U = np.ones((n, 1))
    maps = (
        LinearMap(0.5 * np.eye(n), U),
        LinearMap(0.75 * (first @ one.T if there else one @ first.T), U),
    )
    certificates = [
        contraction(m, norm=norm) if claim is None else Contraction.assumed(claim, norm)
        for m, norm, claim in zip(maps, norms, claims, strict=True)
    ]
    return experiment(
        maps[0],
        np.ones((3, 1)),
        contraction=certificates[0],
        partner=maps[1],
        partner_contraction=certificates[1],
    )


@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize("n", [2, 4])
def test_sharp_when_everything_is_attained_in_a_row(there, n):
    verdict = is_sharp(CONTRACTIVE_OF_COMPOSITION, pair(n, there=there))
    assert verdict.bound == 0.5 * 0.75 * n


def test_two_contractions_need_not_compose_to_one():
    # for n = 4 the composition above expands by 3/2, each map being a contraction in its norm
    made = pair(4)
    assert contractive_of_composition(made.contraction, made.partner_contraction, dim=4) is None
    W = made.partner.W @ made.map.W
    assert Linf().matrix_upper(W) == 1.5


def broken():
    # the first contracts by 0.5 but claims 0.25
    return {"two_contractions": pair(claims=(0.25, None))}


def witnesses():
    return {
        "norms taken as equal": pair(),
        "way back not paid": pair(there=False),
        "way there not paid": pair(),
    }


ASKED = Asked(
    made=experiments(),
    extremes=holds_at_extremes,
    broken=broken,
    witnesses=witnesses,
)


@given(
    st.tuples(factors(), factors()),
    st.integers(1, 4).flatmap(lambda n: st.tuples(st.just(n), norms(n), norms(n))),
)
def test_typed_function(lams, drawn):
    n, first_norm, second_norm = drawn
    first, second = (
        Contraction.assumed(lams[0], first_norm),
        Contraction.assumed(lams[1], second_norm),
    )
    there, back = over(second_norm, first_norm, n=n), over(first_norm, second_norm, n=n)
    found = contractive_of_composition(first, second, dim=n)
    if found is None:
        assert formula(*lams, there, back) >= 1 - 8 * 2.0**-53
        return
    rounded_outward(
        formula, found.lam, lam_first=lams[0], lam_second=lams[1], there=there, back=back
    )
    assert found.norm is first_norm
    assert found.evidence.kind == "assumed"
    smaller = contractive_of_composition(
        Contraction.assumed(lams[0] / 2, first_norm), second, dim=n
    )
    assert smaller.lam <= found.lam


def test_evidence_is_the_weaker_of_the_two():
    proved = contractive_of_matrix_norm([[0.5]])
    assumed = Contraction.assumed(0.5)
    kinds = {
        (a.evidence.kind, b.evidence.kind): contractive_of_composition(a, b, dim=1).evidence.kind
        for a in (proved, assumed)
        for b in (proved, assumed)
    }
    assert kinds.pop(("certified", "certified")) == "certified"
    assert set(kinds.values()) == {"assumed"}


def test_boundary_cases():
    zero = Contraction.assumed(0.0, L1())
    assert contractive_of_composition(zero, zero, dim=5).lam == 0.0
    steep = Contraction.assumed(1 - 2.0**-53, L1())
    assert contractive_of_composition(steep, steep, dim=5).lam < 1
    # 1/2 * 1/2 * 4 = 1 is not below 1
    a, b = Contraction.assumed(0.5, L1()), Contraction.assumed(0.5, Linf())
    assert contractive_of_composition(a, b, dim=4) is None
    assert contractive_of_composition(a, b, dim=3).lam == 0.75


def test_malformed_questions():
    good = Contraction.assumed(0.5)
    for bad in (None, 0.5):
        for arguments in ((bad, good), (good, bad)):
            with pytest.raises(ValueError, match="needed a Contraction"):
                contractive_of_composition(*arguments, dim=2)
    with pytest.raises(ValueError, match="one of 2 steps together"):
        contractive_of_composition(good, Contraction.assumed(0.5, iterate=2), dim=2)
    for bad in (0, 1.5, None):
        with pytest.raises(ValueError, match="dim="):
            contractive_of_composition(good, good, dim=bad)
