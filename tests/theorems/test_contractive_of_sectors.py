"""The four questions, asked of contractive_of_sectors: rate."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from questions import Asked, is_sharp

from theory import (
    GRU,
    LSTM,
    CallableMap,
    EchoStateNetwork,
    Inputs,
    contraction,
)
from theory.arithmetic.rounding import gamma
from theory.campaign.recipes.gated import (
    gated_metric,
    lstm_far_metric,
    saturated_metric,
    thin_metric,
)
from theory.certify import invariant_domain
from theory.certify.metric import System, _barrier, _start, by_metric, find, floor_of
from theory.maps import HardGRU
from theory.theorems import Sector, Sectors, contractive_of_sectors
from theory.theorems.contractive_of_sectors import CONTRACTIVE_OF_SECTORS, formula
from theory.theorems.sectors import sectors_hold

seeds = st.integers(0, 2**32 - 1)


def test_sharp_for_a_leaky_unit():
    # slope 1 at rest, which the domain holds: 1 - a + a W
    is_sharp(CONTRACTIVE_OF_SECTORS, saturated_metric(np.random.default_rng(0)), slack=2.0**-16)


def broken():
    # a gate without sectors that serve all inputs: (1 + x) h / 2 stretches by 2 at x = 3
    gate = CallableMap(lambda h, x: (1.0 + x) * h / 2, state_dim=1, input_dim=1)
    x = np.array([3.0])
    stretch = abs(gate.step(np.ones(1), x) - gate.step(np.zeros(1), x))[0]
    return {
        "in_sectors": (stretch, formula(rate=0.5)),
        "in_domain": lstm_far_metric(np.random.default_rng(1)),
        "sector_lmi": thin_metric(np.random.default_rng(0)),
    }


def witnesses():
    rng = np.random.default_rng(2)
    return {
        "sectors at rest in place of the domain's": saturated_metric(rng),
        "rate in place of rate**2 in the form": saturated_metric(rng),
        "states outside the domain": lstm_far_metric(rng),
        "any Gram matrix": thin_metric(np.random.default_rng(0)),
    }


ASKED = Asked(
    made=seeds.map(lambda seed: gated_metric(np.random.default_rng(seed))),
    extremes=None,
    broken=broken,
    witnesses=witnesses,
)


@st.composite
def cells(draw):
    """Return a gated or leaky map and its box of states."""
    rng = np.random.default_rng(draw(seeds))
    n, m, kind = draw(st.integers(1, 5)), draw(st.integers(1, 2)), draw(st.integers(0, 5))
    scale = draw(st.sampled_from([0.1, 0.3, 0.8]))
    rows = (4, 3, 3, 1, 1, 3)[kind] * n
    W, U = scale * rng.standard_normal((rows, n)), scale * rng.standard_normal((rows, m))
    b, leak = scale * rng.standard_normal(rows), rng.uniform(0.1, 0.9, n)
    cell = (
        lambda: LSTM(W, U, b),
        lambda: GRU(W, U, b, b_candidate=scale * rng.standard_normal(n)),
        lambda: GRU(W, U, b, variant="reset_before"),
        lambda: EchoStateNetwork(W, U, b, leak=leak),
        lambda: EchoStateNetwork(W, U, b, leak=leak, activation="sin"),
        lambda: HardGRU(W, U, b),
    )[kind]()
    return cell, invariant_domain(cell, inputs=Inputs.box(-1.0, 1.0))


@given(cells(), seeds)
def test_differences_are_in_their_sectors(made, seed):
    """The difference of any two steps is within what all terms |w| <= |y| together allow."""
    cell, box = made
    sectors, rng = cell.sectors(box), np.random.default_rng(seed)
    (Y, Z), N = sectors.forms, cell.state_dim
    h, g = rng.uniform(box.low, box.high, (2, N))
    g = h + (g - h) * rng.choice([1.0, 1e-3])
    x = rng.uniform(box.input_low, box.input_high)
    moved = cell.step(h, x) - cell.step(g, x)
    d, w = h - g, np.zeros(sectors.count)
    # what reads new parts comes after them: a few rounds settle all
    for _ in range(len(sectors.terms) + 1):
        w = np.abs(Y[:, :N] @ d) + np.abs(Y[:, N:]) @ w
    room = np.abs(Z[:, N:]) @ w + 1e-12 * np.max(np.abs(d))
    assert np.all(np.abs(moved - Z[:, :N] @ d) <= room)


@settings(max_examples=8)
@given(cells(), seeds)
def test_typed_function(made, seed):
    cell, box = made
    sectors, rng = cell.sectors(box), np.random.default_rng(seed)
    c = by_metric(cell, box, distances=(0.1,))
    if c is None:
        return
    for _ in range(8):
        h, g = rng.uniform(box.low, box.high, (2, cell.state_dim))
        g = h + (g - h) * rng.choice([1.0, 1e-3])
        x = rng.uniform(box.input_low, box.input_high)
        moved = c.norm.vector(cell.step(h, x) - cell.step(g, x))
        assert moved <= c.lam * c.norm.vector(h - g) * (1 + 1e-9)
    q = np.array(c.evidence.multipliers)
    assert sectors_hold(sectors, c.norm.P, q, c.lam)
    assert not sectors_hold(sectors, c.norm.P, q, floor_of(System.of(sectors)) * (1 - 1e-6))
    auto = contraction(cell, domain=box, effort=2)
    # a diagonal norm is kept where a full one is hardly better
    assert auto.lam <= c.lam * (1 + 2.0**-7)


@settings(max_examples=20)
@given(cells(), seeds)
def test_the_decision_is_that_of_an_eigenvalue(made, seed):
    """A form that is clearly positive is accepted, one that is clearly not is refused."""
    cell, box = made
    sectors, rng = cell.sectors(box), np.random.default_rng(seed)
    (Y, Z), N = sectors.forms, sectors.state_dim
    A = rng.standard_normal((N, N))
    P, q = A @ A.T + np.eye(N), np.exp(rng.uniform(-3, 5, sectors.count))
    P = (P + P.T) / 2
    rate = float(rng.uniform(0.5, 5))
    K = -Z.T @ P @ Z - Y.T @ np.diag(q) @ Y
    K[:N, :N] += rate**2 * P
    K[N:, N:] += np.diag(q)
    least = float(np.linalg.eigvalsh(K)[0])
    if abs(least) > 1e-8 * float(np.abs(K).max()):
        assert sectors_hold(sectors, P, q, rate) == (least > 0)


def test_the_gradient_is_that_of_the_barrier():
    cell = LSTM(0.2 * np.random.default_rng(5).standard_normal((12, 3)), np.ones((12, 1)))
    system = System.of(cell.sectors(invariant_domain(cell, inputs=Inputs.box(-1.0, 1.0))))
    theta, lam = _start(system)
    at, rng = system.at(1.2 * lam), np.random.default_rng(6)
    theta = theta + 0.01 * rng.standard_normal(len(theta))
    move = rng.standard_normal(len(theta))
    up, down = (_barrier(at, theta + s * 2.0**-14 * move)[0] for s in (1, -1))
    assert _barrier(at, theta)[1] @ move == pytest.approx((up - down) * 2.0**13, rel=1e-5)


def test_it_is_notably_sharper():
    """Against the numerical radius of leaky networks, and multipliers of a GRU."""
    V = np.random.default_rng(0).standard_normal((6, 6)) / 6**0.5
    leaky = EchoStateNetwork(V, np.eye(6), leak=0.4)
    W = np.random.default_rng(1).standard_normal((18, 6)) / 6**0.5
    gated = GRU(0.6 * W, 0.1 * np.ones((18, 1)), variant="reset_before")
    for cell, before, gain in ((leaky, "leak", 0.01), (gated, "euclidean", 0.15)):
        rates = [
            contraction(cell, inputs=Inputs.box(-1.0, 1.0), method=method).lam
            for method in ("metric", before)
        ]
        assert rates[0] < rates[1] - gain


@pytest.mark.parametrize(("least", "most", "leak"), [(-2.0, 0.3, 0.1), (-4.0, 0.8, 0.3)])
def test_symmetric_weights_have_the_rate_of_their_largest_eigenvalue(least, most, leak):
    """The closed form of Gokhale, Proskurnikov, Kawano and Bullo for firing rates, in small steps.

    A slope matrix S makes S W similar to a symmetric matrix of eigenvalues in [least, most], and
    1 - a + a max(most, 0) is attained; the norm of W, as in Jaeger's condition, is above 1.
    """
    turn = np.linalg.qr(np.random.default_rng(0).standard_normal((5, 5)))[0]
    W = (turn * np.linspace(least, most, 5)) @ turn.T
    cell = EchoStateNetwork((W + W.T) / 2, np.eye(5), leak=leak)
    rate = 1 - leak + leak * most
    found = contraction(cell)
    assert rate * (1 - 1e-12) <= found.lam <= rate * (1 + 1e-4)
    assert contraction(cell, method="leak") is None


def test_boundary_cases():
    one = Sectors(
        units=1, state_parts=1,
        terms=(Sector(0, ((0, 1.0),), (np.array([0.5]), np.array([0.5]))),),
    )  # fmt: skip
    # of one slope any multiplier will do
    c = contractive_of_sectors(one, P=[[1.0]], q=[1e-3], rate=0.5 + 1e-2)
    assert (c.lam, str(c.norm)) == (0.5 + 1e-2, "L2,P")
    assert contractive_of_sectors(one, P=[[1.0]], q=[1e-9], rate=0.5 + 1e-8).lam < 0.5 + 2e-8
    assert contractive_of_sectors(one, P=[[1.0]], q=[1e-9], rate=0.4999) is None
    assert contractive_of_sectors(one, P=[[1.0]], q=[1e-9], rate=1.0) is None
    for P, q, rate in ((1.0, -1.0, 0.9), (-1.0, 1.0, 0.9), (1.0, 1e-9, 0.0), (1.0, np.nan, 0.9)):
        assert not sectors_hold(one, np.array([[P]]), np.array([q]), rate)
    assert not sectors_hold(one, np.eye(2), np.ones(1), 0.9)
    wide = Sectors(
        units=1, state_parts=1,
        terms=(Sector(0, ((0, 1.0),), (np.array([0.0]), np.array([np.inf]))),),
    )  # fmt: skip
    assert find(wide) is None
    assert contractive_of_sectors(wide, P=[[1.0]], q=[1.0], rate=0.9) is None


def scalar(*terms, direct=()):
    """Return sectors of one unit and one slope each, of (part, reads, slope)."""
    return Sectors(
        units=1, state_parts=1, direct=direct,
        terms=tuple(Sector(p, reads, (np.array([a]), np.array([a]))) for p, reads, a in terms),
    )  # fmt: skip


def test_what_underflows_on_the_way_is_not_lost():
    """Products below the least double that later weights, or the units of P, bring back."""
    # d -> 2**53 2**1023 (2**-499 2**-577 d) = d
    back = scalar((1, ((0, 2.0**-577),), 2.0**-499), (0, ((2, 2.0**1023),), 2.0**53))
    assert contractive_of_sectors(back, P=[[1.0]], q=[1.0, 1.0], rate=0.25) is None
    cell = EchoStateNetwork(
        [[0.0, 0.0], [5e-324, 0.0]], np.zeros((2, 1)), leak=0.5, activation="identity"
    )
    for p, q, extra in (
        ((2.0**-1074, 2.0**1022), (2.0**-1060, 2.0**950), 1e-10),
        ((2.0**-1060, 2.0**1010), (2.0**-1060, 2.0**950), 1e-13),
    ):
        rate = 0.5 * (1 + extra)
        assert not sectors_hold(cell.sectors(None), np.diag(p), np.array(q), rate)
    # zeros and tiny weights in ordinary units cost nothing
    for W in (np.zeros((2, 2)), [[1e-200, 0.0], [0.0, 1e-290]], [[0.5, 1e-300], [0.0, 0.2]]):
        leaky = EchoStateNetwork(W, np.zeros((2, 1)), leak=0.5).sectors(None)
        assert sectors_hold(leaky, np.eye(2), np.full(2, 0.25), 0.9)


@given(seeds)
def test_the_rows_err_by_no_more_than_is_allowed(seed):
    """Rows of Y and Z, in exact fractions, of reads and weights of all sizes."""
    rng = np.random.default_rng(seed)

    def number(low, high):
        return float(
            rng.choice([-1, 1]) * np.ldexp(rng.uniform(1, 2), int(rng.integers(low, high)))
        )

    def reads(sizes, *parts):
        chosen = rng.choice(parts, size=rng.integers(1, 5))
        return tuple((int(q), number(*sizes)) for q in chosen)

    # parts 1 and 2 are new ones; what underflows in 2 is brought back
    small, large = (-620, -560), (-20, 200)
    S = scalar(
        (2, reads(small, 0), number(-499, -450)),
        (1, reads(large, 0, 3), number(*large)),
        (0, reads(large, 0, 2, 3), number(*large)),
        direct=((0, reads(large, 0)[0]), (1, reads(large, 3)[0])),
    )

    def exact(part, own=abs):
        """Return the coefficient of d in a new part; of absolute values with own=abs."""
        return sum(
            (own(Fraction(V)) * of(q, own) for p, (q, V) in S.direct if p == part), Fraction(0)
        ) + sum(
            own(Fraction(float(m[0]))) * read(one.reads, own)
            for one, (m, _) in zip(S.terms, S._middles, strict=True)
            if one.part == part
        )

    def of(q, own):
        return Fraction(1) if q == 0 else exact(q - 1, own)

    def read(parts, own):
        return sum((own(Fraction(V)) * of(q, own) for q, V in parts), Fraction(0))

    def itself(x):
        return x

    g, tiny = Fraction(gamma(S.roundings)), Fraction(2) ** -1074
    rows = [(S.forms.Z[0, 0], exact(0, itself), exact(0), S.lost[1][0])]
    for k, one in enumerate(S.terms):
        rows.append((S.forms.Y[k, 0], read(one.reads, itself), read(one.reads, abs), S.lost[0][k]))
    for formed, true, size, lost in rows:
        assert abs(Fraction(float(formed)) - true) <= g * size + Fraction(float(lost)) * tiny


def test_all_reads_are_counted():
    """4000 times a third, and back, is 0; summed in doubles it is not."""
    third = tuple((0, 1.0 / 3) for _ in range(4000)) + tuple((0, -1.0 / 3) for _ in range(4000))
    for S, own in (
        (scalar((0, third, 0.5), direct=((0, (0, 0.5)),)), 0.5),
        (scalar((0, ((0, 0.0),), 0.5), direct=tuple((0, one) for one in third)), 0.0),
    ):
        wrong = abs(S.forms.Y[0, 0]) + abs(S.forms.Z[0, 0] - own)
        assert 0 < wrong <= gamma(S.roundings) * (S.sizes.Y[0, 0] + S.sizes.Z[0, 0])
        assert S.roundings > len(third)


def test_malformed_questions():
    one = Sectors(
        units=1, state_parts=1,
        terms=(Sector(0, ((0, 1.0),), (np.array([0.5]), np.array([0.5]))),),
    )  # fmt: skip
    good = {"P": [[1.0]], "q": [1.0], "rate": 0.9}
    for bad, message in (
        ({"P": [[-1.0]]}, "positive definite"),
        ({"P": np.eye(2)}, r"R\^2"),
        ({"q": [1.0, 1.0]}, "q has shape"),
        ({"q": [np.nan]}, "q holds nan"),
        ({"rate": -0.5}, "rate="),
    ):
        with pytest.raises(ValueError, match=message):
            contractive_of_sectors(one, **{**good, **bad})
    with pytest.raises(ValueError, match=r"needed theory\.theorems\.Sectors"):
        contractive_of_sectors(np.eye(2), **good)
    with pytest.raises(ValueError, match="do not depend on themselves"):
        Sectors(units=1, state_parts=1, terms=one.terms, direct=((0, (1, 1.0)),))
    with pytest.raises(ValueError, match="do not depend on themselves"):
        scalar((0, ((0, 1.0),), 0.5), (1, ((2, 1.0),), 0.5))
