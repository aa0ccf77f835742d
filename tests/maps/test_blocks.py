"""Functions between recurrences, and blocks of them: as in PyTorch, enclosed, with sharp slopes."""

import math

import flint
import numpy as np
import pytest
from definitions import bits, of_function
from hypothesis import example, given, settings, target
from hypothesis import strategies as st
from layouts import needs_torch, torch

from theory import Cascade, Inputs, MinGRU, SelectiveSSM, contraction
from theory.arithmetic.formats import DOUBLE, FORMATS
from theory.arithmetic.rounded import Rounded
from theory.arithmetic.zonotopes import Zonotope
from theory.certify import invariant_domain
from theory.maps import (
    Block,
    Chain,
    Concatenate,
    Dense,
    Normalize,
    Pointwise,
    Product,
    Read,
    Select,
    Softmax,
    Sum,
    mlstm,
    short_convolution,
)
from theory.maps.functions import SMOOTH
from theory.memory import along, required_context, tube_context, tube_gaps

seeds = st.integers(0, 2**32 - 1)


def functions(rng, n=3):
    """Return one of each kind, R^n -> R^m."""
    w = rng.standard_normal
    gate = Product([Dense(w((4, n)), w(4)), Chain([Dense(w((4, n))), Pointwise("silu", 4)])])
    return {
        "Dense": Dense(w((2, n)), w(2)),
        "Select": Select(1, stop=n, size=n),
        "tanh": Pointwise("tanh", n),
        "silu": Pointwise("silu", n),
        "gelu": Pointwise("gelu", n),
        "rms": Normalize(w(n), w(n), eps=0.1),
        "layer": Normalize(w(n), w(n), kind="layer", eps=0.01),
        "gated unit": gate,
        "residual": Sum([Select(0, stop=n, size=n), Chain([gate, Dense(w((n, 4)))])]),
        "behind a norm": Chain([Normalize(w(n), w(n), eps=1e-3), Dense(w((5, n)), w(5))]),
        "softmax": Softmax(n),
        "attention": Chain([Dense(3 * w((4, n)), w(4)), Softmax(4), Dense(w((2, 4)))]),
        "read": Chain([Dense(w((6, n)), w(6)), Read(1, keys=2, values=2)]),
        "normalised": Chain([Dense(w((6, n)), w(6)), Read(1, keys=2, values=2, normalized=True)]),
        "side by side": Concatenate([gate, Pointwise("sigmoid", n)]),
    }


every = pytest.mark.parametrize("name", functions(np.random.default_rng(0)))


@every
@example(seed=232, width=0.0)
@example(seed=568, width=0.0)
@settings(max_examples=15)
@given(seed=seeds, width=st.sampled_from([0.0, 1e-6, 0.1, 1.0, 10.0]))
def test_boxes_and_slopes_hold(name, seed, width):
    rng = np.random.default_rng(seed)
    f = functions(rng)[name]
    middle = rng.standard_normal(3) * rng.choice([0.1, 1.0, 5.0])
    low, high = middle - width * rng.random(3), middle + width * rng.random(3)
    ends = f.image((low, high))
    G, lipschitz = f.slopes((low, high)), f.lipschitz((low, high))
    X = np.where(rng.random((30, 3)) < 0.5, low, high)
    X[:15] = low + (high - low) * rng.random((15, 3))
    Y = f(X)
    error = 1e-12
    assert np.all(ends[0] <= Y + error * (1 + np.abs(Y)))
    assert np.all(ends[1] + error * (1 + np.abs(Y)) >= Y)
    apart, moved = np.abs(X[:, None] - X[None]), np.abs(Y[:, None] - Y[None])
    assert np.all(moved <= apart @ G.T * (1 + 1e-9) + 1e-11 * (1 + np.abs(Y).max()))
    lengths = np.linalg.norm(moved, axis=-1)
    assert np.all(lengths <= lipschitz * np.linalg.norm(apart, axis=-1) * (1 + 1e-9) + 1e-10)
    # a narrow box loses little: the slopes are those of the Jacobian
    J = np.abs(f.jacobian(middle))
    assert np.all(J <= G * (1 + 1e-9) + 1e-12)
    # constants of sums and chains are sums and products of those of their parts, which may cancel
    lossy = {"residual", "gated unit", "side by side", "normalised", "attention"}
    lossy |= {"layer", "behind a norm"}
    if width <= 1e-6 and name not in lossy:
        assert lipschitz <= np.linalg.norm(J, 2) * 4 + 1e-3
    if width >= 0.1:
        target(float(np.max(lengths / (lipschitz * np.linalg.norm(apart, axis=-1) + 1e-300))))


@every
@settings(max_examples=15)
@given(seed=seeds, width=st.sampled_from([0.0, 1e-6, 0.1, 1.0]))
def test_forms_hold_at_every_symbol(name, seed, width):
    """A carried zonotope holds f at the xi of the point, and loses the square of the width only."""
    rng = np.random.default_rng(seed)
    f = functions(rng)[name]
    middle = rng.standard_normal(3) * rng.choice([0.1, 1.0, 5.0])
    G, rest = width * rng.standard_normal((3, 4)), width * rng.choice([0.0, 0.1]) * rng.random(3)
    z = Zonotope.of(middle, G, rest)
    # the box holds some of the points only
    cut = width * rng.random((2, 3))
    low, high = z.hull()[0] + cut[0], z.hull()[1] - cut[1]
    low, high = np.minimum(low, middle), np.maximum(high, middle)
    made = f.carry(z, (low, high))
    xi = rng.uniform(-1, 1, (60, 4))
    xi[:20] = np.sign(xi[:20])
    points = middle + xi @ G.T + rest * rng.uniform(-1, 1, (60, 3))
    inside = np.all((points >= low) & (points <= high), axis=1)
    inside[-1], points[-1], xi[-1] = True, middle, 0.0
    left = np.abs(f(points) - (made.centre + xi @ made.generators.T))[inside]
    size = 1 + np.abs(f(points[inside]))
    assert np.all(left <= made.rest + 1e-12 * size)
    if width <= 1e-6 and name != "normalised" and not rest.any():
        # and what is left of the linear part alone, where a box has the sizes of all its factors
        linear = np.abs(f.jacobian(middle) @ G).sum(axis=1)
        assert np.all(made.radius() <= linear * (1 + 1e-3) + 1e-2 * width + 1e-10)


def _slopes_of(name):
    """Return the slope, and what has the sign of its derivative."""
    one = flint.arb(1)
    if name == "gelu":

        def slope(a):
            phi = (-(a**2) / 2).exp() / (2 * flint.arb.pi()).sqrt()
            return (-a / flint.arb(2).sqrt()).erfc() / 2 + a * phi

        return slope, lambda a: 2 - a**2

    def slope(a):
        s = one / (one + (-a).exp())
        return s * (one + a * (one - s))

    def turn(a):
        s = one / (one + (-a).exp())
        return s * (one - s) * (2 + a * (one - 2 * s))

    return slope, turn


@pytest.mark.parametrize("name", SMOOTH)
def test_the_constants_of_smooth_functions(name):
    """Least value and extreme slopes, decided in ball arithmetic."""
    f = SMOOTH[name]
    with bits(200):
        slope, turn = _slopes_of(name)
        least, steep, small = flint.arb(f.at), flint.arb(f.steep), flint.arb(2.0**-40)
        # the zeros of the slope and of its derivative are within 2**-40 of where they are said
        assert slope(least - small) < 0 < slope(least + small)
        assert turn(steep - small) > 0 > turn(steep + small)
        value = of_function(Pointwise(name, 1), [least])[0]
        assert abs(value - flint.arb(f.least)) < small
        assert flint.arb(f.slopes[0]) < slope(-steep) - small
        assert slope(steep) + small < flint.arb(f.slopes[1])


def test_the_normal_distribution_errs_by_less_than_is_allowed():
    """What SciPy's erfc is trusted for, in x Phi(x): 25 units relatively, and u |x|."""
    X = np.concatenate([np.linspace(-37, 10, 4001), -np.logspace(-300, 0, 200)])
    Y = Pointwise("gelu", len(X))(X)
    with bits(200):
        for x, y in zip(X, Y, strict=True):
            true = of_function(Pointwise("gelu", 1), [flint.arb(float(x))])[0]
            error = abs(flint.arb(float(y)) - true)
            assert error <= flint.arb(2.0**-53) * (24 * abs(true) + abs(flint.arb(float(x))))


def test_a_norm_of_what_has_no_bound_is_bounded_without_a_warning():
    """Squares beyond the largest double: the unit ball is all that is known."""
    z = Zonotope.of(np.ones(3), np.full((3, 1), 1e200), np.zeros(3))
    form = Normalize(np.ones(3), kind="layer").carry(z, (np.full(3, -np.inf), np.full(3, np.inf)))
    assert np.all(form.magnitude() <= 1.7322)


@pytest.mark.parametrize("kind", ["rms", "layer"])
def test_the_constant_of_a_norm_is_reached(kind):
    gain = np.array([1.0, -2.0, 0.5, 2.0])
    f = Normalize(gain, kind=kind, eps=1e-4)
    everywhere = f.lipschitz((np.full(4, -9.0), np.full(4, 9.0)))
    assert everywhere == pytest.approx(2 / math.sqrt(1e-4), rel=1e-12)
    # at 0 along a direction of the largest gain, and of mean 0
    d = np.array([0.0, 1.0, 0.0, -1.0]) * 1e-6
    assert np.linalg.norm(f(d) - f(-d)) == pytest.approx(
        everywhere * np.linalg.norm(2 * d), rel=1e-6
    )
    # away from 0 by the deviation: the same direction, beside x
    x = np.array([3.0, 0.0, -3.0, 0.0])
    box = x - 1e-6, x + 1e-6
    root = float(np.sqrt(np.mean(np.square(x)) + 1e-4))
    assert f.lipschitz(box) == pytest.approx(2 / root, rel=1e-5)
    assert np.linalg.norm(f(x + d) - f(x - d)) == pytest.approx(
        2 / root * np.linalg.norm(2 * d), 1e-5
    )


@pytest.mark.parametrize("p", [1, 2, np.inf])
def test_the_constant_of_the_softmax_is_reached(p):
    """1/2 in all three norms, between two entries, and never more; away from there it falls."""
    f, d = Softmax(4), np.array([1e-6, -1e-6, 0.0, 0.0])
    x = np.array([0.0, 0.0, -60.0, -60.0])
    length = np.linalg.norm(f(x + d) - f(x - d), p) / np.linalg.norm(2 * d, p)
    assert length == pytest.approx(0.5, rel=1e-6)
    wide = np.full(4, -100.0), np.full(4, 100.0)
    assert f.lipschitz(wide) == 0.5
    X = np.random.default_rng(0).standard_normal((2, 200, 4)) * 3
    moved = np.linalg.norm(f(X[0]) - f(X[1]), p, axis=1)
    assert np.all(moved <= 0.5 * np.linalg.norm(X[0] - X[1], p, axis=1))
    # one share of at least .92: 2 s (1 - s) of the least one
    box = np.array([4.0, 0.0, -0.1, 0.0]), np.array([4.0, 0.1, 0.0, 0.1])
    s = float(f(np.array([4.0, 0.1, 0.0, 0.1]))[0])
    assert f.lipschitz(box) <= 2 * s * (1 - s) * (1 + 1e-9)


@pytest.mark.parametrize(
    ("arithmetic", "dtype"), [(DOUBLE, np.float64), (FORMATS["float32"], np.float32)]
)
@given(seed=seeds)
@settings(max_examples=15)
def test_the_softmax_errs_by_less_than_is_said(arithmetic, dtype, seed):
    rng = np.random.default_rng(seed)
    n, size = int(rng.integers(1, 40)), rng.choice([0.1, 1.0, 30.0, 1e4])
    x = (size * rng.standard_normal(n)).astype(dtype)
    said = Softmax(n).rounded(Rounded.exact(np.abs(x).astype(np.float64), arithmetic)).error
    found = Softmax(n)(x)
    assert found.dtype == dtype
    with bits(200):
        true = of_function(Softmax(n), [flint.arb(float(a)) for a in x])
        for a, b, error in zip(found, true, said, strict=True):
            assert abs(flint.arb(float(a)) - b) <= error
    assert np.all(said <= (8 * n + 200) * arithmetic.unit)


def test_shares_of_any_size_are_enclosed():
    """Entries far apart, infinite ends, a single one, and many."""
    for low, high in (
        ([-1e300, 0.0], [-1e299, 1.0]), ([-np.inf, 0.0], [0.0, np.inf]), ([5.0], [6.0]),
        ([-800.0, 0.0, 800.0], [-700.0, 1.0, 801.0]), ([0.0] * 500, [0.0] * 500),
    ):  # fmt: skip
        ends = np.array(low), np.array(high)
        f = Softmax(len(low))
        image = f.image(ends)
        assert np.all((image[0] >= 0) & (image[0] <= image[1]) & (image[1] <= 1))
        assert np.all(np.isfinite(f.slopes(ends)))
        if np.isfinite(ends).all():
            s = f(ends[0])
            assert np.all((image[0] <= s) & (s <= image[1]))
            assert np.all(f.carry(Zonotope.box(*ends), ends).magnitude() <= 1 + 1e-6)


def test_a_dense_layer_behind_a_norm_sees_a_ball():
    n = 64
    W = np.random.default_rng(0).standard_normal((3, n))
    wide = np.full(n, -1e6), np.full(n, 1e6)
    norm = Normalize(np.ones(n), eps=1e-6)
    low, high = Chain([norm, Dense(W)]).image(wide)
    assert high == pytest.approx(math.sqrt(n) * np.linalg.norm(W, axis=1), rel=1e-9)
    assert low == pytest.approx(-high)
    # reached in the direction of a row
    x = W[0] * 1e5
    assert (W @ norm(x))[0] == pytest.approx(high[0], rel=1e-6)


def test_bad_functions_and_blocks_are_refused():
    one = MinGRU([[1.0], [1.0]])
    for call, message in (
        (lambda: Block(one, after=Dense([[1.0]])), "after takes 1 entries, needed 2"),
        (lambda: Block(one, before=Dense(np.ones((2, 3))), after=Dense([[1.0]])), "before gives 2"),
        (lambda: Block(one, after=np.eye(2)), "needed a theory.maps.Function"),
        (lambda: Block(np.eye(2), after=Dense([[1.0]])), "needed a Map"),
        (lambda: Chain([Dense(np.ones((2, 1))), Dense(np.ones((1, 3)))]), "gives 2 entries, but"),
        (lambda: Sum([Dense(np.ones((2, 1))), Dense(np.ones((1, 1)))]), r"give \[1, 2\] entries"),
        (lambda: Product([Dense(np.ones((1, 2))), Dense(np.ones((1, 1)))]), r"take \[1, 2\]"),
        (lambda: Concatenate([]), "at least one Function"),
        (lambda: Select(1, stop=1, size=2), "needed 0 <= start < stop <= 2"),
        (lambda: Normalize([1.0], kind="batch"), "needed one of: rms, layer"),
        (lambda: Normalize([1.0], eps=0.0), "eps"),
        (lambda: Read(1, keys=1, values=1, normalized=True), "values"),
        (lambda: Pointwise("swish", 1), "swish"),
    ):
        with pytest.raises(ValueError, match=message):
            call()


# networks ----------------------------------------------------------------------------------------

D, N, STATES, VOCABULARY = 3, 4, 2, 7


def draw(rng, *shape):
    return rng.standard_normal(shape) / math.sqrt(shape[-1])


def min_gru_block(p):
    """Return x + sigma(G x) * (W minGRU(norm(x)))."""
    n, d = p["W"].shape[1], D
    x, h = Select(n, stop=n + d, size=n + d), Select(0, stop=n, size=n + d)
    gate = Chain([x, Dense(p["G"]), Pointwise("sigmoid", d)])
    return Block(
        MinGRU(np.eye(2 * n), activation="tanh"),
        before=Chain([Normalize(p["g"], eps=0.01), Dense(p["U"], p["b"])]),
        after=Sum([x, Product([Chain([h, Dense(p["W"])]), gate])]),
    )


def mamba_blocks(p):
    """Return a Mamba block as two layers: the convolution, and the recurrence on what it gives."""
    norm, d, n = Normalize(p["g"], eps=0.01), D, D * STATES
    conv = short_convolution(p["K"], p["k"], activation="silu")
    m = conv.state_dim
    first = Block(
        conv,
        before=Chain([norm, Dense(p["W_in"][:d])]),
        after=Concatenate([Select(m, stop=m + d, size=m + d), Select(m - d, stop=m, size=m + d)]),
    )
    size = n + 2 * d
    S, x, u = (Select(a, stop=b, size=size) for a, b in ((0, n), (n, n + d), (n + d, size)))
    q = Chain([u, Dense(np.tile(p["W_C"], (d, 1)))])
    read = Chain([Concatenate([S, q]), Read(d, keys=STATES, values=1)])
    z = Chain([x, norm, Dense(p["W_in"][d:]), Pointwise("silu", d)])
    second = Block(
        SelectiveSSM(p["A"], p["W_dt"], p["W_B"], p["b_dt"]),
        before=Select(d, stop=2 * d, size=2 * d),
        after=Sum([x, Chain([Product([Sum([read, u]), z]), Dense(p["W_out"])])]),
    )
    return [first, second]


def parameters(kind, rng):
    if kind == "minGRU":
        return {"g": 1 + 0.1 * draw(rng, D), "U": draw(rng, 2 * N, D), "b": draw(rng, 2 * N),
                "W": draw(rng, D, N), "G": draw(rng, D, D)}  # fmt: skip
    return {
        "g": 1 + 0.1 * draw(rng, D), "W_in": draw(rng, 2 * D, D), "K": draw(rng, D, 3),
        "k": draw(rng, D), "A": np.exp(draw(rng, D, STATES)), "W_dt": draw(rng, D, D),
        "b_dt": draw(rng, D), "W_B": draw(rng, STATES, D), "W_C": draw(rng, STATES, D),
        "W_out": draw(rng, D, D),
    }  # fmt: skip


def network(kind, rng):
    """Return a network of two blocks, and their parameters."""
    parts = [parameters(kind, rng) for _ in range(2)]
    if kind == "minGRU":
        return Cascade([min_gru_block(p) for p in parts]), parts
    return Cascade([layer for p in parts for layer in mamba_blocks(p)]), parts


def rms(x, g):
    return g * x / torch.sqrt((x * x).mean(-1, keepdim=True) + 0.01)


def torch_min_gru(p, X):
    u = torch.nn.functional.linear(rms(X, p["g"]), p["U"], p["b"])
    z, new = torch.sigmoid(u[:, :N]), torch.tanh(u[:, N:])
    h, shown = torch.zeros(N, dtype=torch.float64), []
    for t in range(len(X)):
        h = torch.lerp(h, new[t], z[t])
        shown.append(h)
    return X + torch.sigmoid(X @ p["G"].T) * (torch.stack(shown) @ p["W"].T)


def torch_mamba(p, X):
    u, z = (rms(X, p["g"]) @ p["W_in"].T).chunk(2, dim=-1)
    padded = torch.nn.functional.pad(u.T, (2, 0))[None]
    u = torch.nn.functional.conv1d(padded, p["K"][:, None], p["k"], groups=D)[0].T
    u = torch.nn.functional.silu(u)
    step = torch.nn.functional.softplus(u @ p["W_dt"].T + p["b_dt"])
    B, C = u @ p["W_B"].T, u @ p["W_C"].T
    h, shown = torch.zeros(D, STATES, dtype=torch.float64), []
    for t in range(len(X)):
        h = torch.exp(-p["A"] * step[t][:, None]) * h + torch.outer(step[t] * u[t], B[t])
        shown.append(h @ C[t])
    y = (torch.stack(shown) + u) * torch.nn.functional.silu(z)
    return X + y @ p["W_out"].T


@needs_torch
@pytest.mark.parametrize(("kind", "theirs"), [("minGRU", torch_min_gru), ("Mamba", torch_mamba)])
def test_a_network_is_the_one_of_pytorch(kind, theirs):
    rng = np.random.default_rng(3)
    model, parts = network(kind, rng)
    X = rng.standard_normal((30, D))
    Y = torch.tensor(X)
    for p in parts:
        Y = theirs({name: torch.tensor(value) for name, value in p.items()}, Y)
    mine = model.simulate(X) @ model.output_map.T
    assert np.max(np.abs(mine - Y.numpy())) <= 1e-12


@needs_torch
def test_functions_are_those_of_pytorch():
    rng = np.random.default_rng(4)
    x, g, b = rng.standard_normal((5, 6)), rng.standard_normal(6), rng.standard_normal(6)
    layer = Normalize(g, b, kind="layer", eps=1e-5)
    F, tensor = torch.nn.functional, torch.tensor
    norm = F.layer_norm(tensor(x), (6,), tensor(g), tensor(b), 1e-5)
    assert np.max(np.abs(layer(x) - norm.numpy())) <= 1e-12
    assert np.max(np.abs(Pointwise("silu", 6)(x) - F.silu(tensor(x)).numpy())) <= 1e-12
    assert np.max(np.abs(Pointwise("gelu", 6)(x) - F.gelu(tensor(x)).numpy())) <= 1e-12
    W = rng.standard_normal((8, 6))
    unit = Product([Dense(W[:4]), Chain([Dense(W[4:]), Pointwise("sigmoid", 4)])])
    assert np.max(np.abs(unit(x) - F.glu(tensor(x @ W.T)).numpy())) <= 1e-12
    # an mLSTM's output, through the normaliser that is the last value of a head
    cell = mlstm(*(rng.standard_normal((4, 6)) for _ in "kv"), W_i=W[:2], W_f=W[2:4])
    S, q = cell.memory(cell.simulate(x)), rng.standard_normal((2, 2))
    read = Read(2, keys=2, values=3, normalized=True)
    mine = read(np.concatenate([S.reshape(5, -1), np.tile(q.ravel(), (5, 1))], axis=1))
    C, n = np.swapaxes(S[..., :2], -1, -2), S[..., 2]
    size = np.maximum(np.abs(np.sum(n * q, axis=-1)), 1)
    assert mine.reshape(5, 2, 2) == pytest.approx(np.einsum("thvk,hk->thv", C, q) / size[..., None])


@pytest.mark.parametrize("kind", ["minGRU", "Mamba"])
def test_a_network_of_two_blocks_forgets(kind):
    """Over all inputs of an alphabet, and sooner along given ones: both hold for every past."""
    rng = np.random.default_rng(5)
    model, _ = network(kind, rng)
    table = 0.5 * rng.standard_normal((VOCABULARY, D))
    alphabet, C = Inputs.any_of(table), model.output_map
    c = contraction(model, inputs=alphabet)
    assert c is not None
    assert c.evidence.is_certified
    X = table[rng.integers(0, VOCABULARY, 40)]
    eps = 0.05 * float(np.linalg.norm(model.simulate(X) @ C.T, axis=1).mean())
    everywhere = required_context(model, eps=eps, inputs=alphabet, head=C, certificates={"all": c})
    domain = invariant_domain(model, inputs=alphabet)
    found = tube_context(model, X, eps=eps, domain=domain)
    assert found.k is not None
    assert found.error <= eps
    assert found.k < everywhere.k < 10_000
    # without the zonotope no entry is bounded better
    sharp, plain = (tube_gaps(model, X, k=10, domain=domain, columns=c) for c in (1, 0))
    assert np.all(sharp <= plain)
    assert sharp.sum() < 0.9 * plain.sum()
    # pasts that are met, and all corners that could be: none is outside the tube
    met = model.simulate(table[rng.integers(0, VOCABULARY, (40, 200))])[:, -1]
    far = rng.choice([-1.0, 1.0], (60, model.state_dim)) * domain.reach
    far = np.clip(far, domain.low, domain.high)
    pasts = np.vstack([np.zeros(model.state_dim), met, far])
    needed = 0
    for k in range(1, found.k + 2):
        ends = model.simulate(np.repeat(X[None, -k:], len(pasts), axis=0), pasts)[:, -1]
        gaps = np.abs(ends[1:] - ends[0])
        if k in {1, 3, found.k}:
            assert np.all(gaps <= tube_gaps(model, X, k=k, domain=domain) + 1e-12)
        if np.linalg.norm(gaps @ C.T, axis=1).max() > eps:
            needed = k
    assert found.k <= 4 * (needed + 1)


def test_fewer_pasts_need_no_longer_a_context(monkeypatch):
    """Bisection of one tube alone may give more for some pasts than for all of them."""
    rng = np.random.default_rng(0)
    model, _ = network("minGRU", rng)
    X = 0.5 * rng.standard_normal((12, D))
    domain = invariant_domain(model, inputs=X)
    pasts = model.simulate(X)[-1:]
    every = tube_context(model, X, eps=0.5, domain=domain)
    assert every.k is not None
    gaps = along._Tube.gaps

    def wide(self, inputs):
        """Widen the tube of the pasts alone."""
        return gaps(self, inputs) * (1 if np.all(self.start == every_start) else 100)

    every_start = along._tube_of(model, X, domain, None, None, 1)[0].start
    monkeypatch.setattr(along._Tube, "gaps", wide)
    assert tube_context(model, X, eps=0.5, domain=domain, pasts=pasts) == every


def test_questions_of_tubes_are_checked():
    cell, X = MinGRU([[0.0], [1.0]]), np.ones((4, 1))
    free = SelectiveSSM([[1.0]], [[40.0]], [[1.0]], [-20.0], [1.0])
    for call, message in (
        (lambda: tube_gaps(cell, X, k=5), "X holds 4 inputs, needed at least k=5"),
        (lambda: tube_gaps(cell, X[None], k=1), "needed one sequence"),
        (lambda: tube_gaps(cell, X, k=1, domain=1, inputs=X), "needed at most one"),
        (lambda: tube_gaps(cell, X, k=1, inputs=Inputs.box(-0.5, 0.5)), "outside the domain"),
        (lambda: tube_gaps(free, X, k=1, inputs=Inputs.box(-900, 900)), "no bounded box"),
        (lambda: tube_context(cell, X, eps=0.0), "eps"),
        (lambda: tube_gaps(cell, X, k=1, pasts=[[1.0, 1.0]]), "pasts has shape"),
        (lambda: tube_gaps(cell, X, k=1, pasts=[[9.0]]), "some of pasts are outside"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
    # too few inputs say so
    found = tube_context(cell, X, eps=1e-3)
    assert found.k is None
    assert found.error == pytest.approx(0.0625, rel=1e-6)
    # pasts that are smaller are forgotten sooner
    assert tube_gaps(cell, X, k=4, pasts=[[0.5]])[0] == pytest.approx(0.03125, rel=1e-6)
