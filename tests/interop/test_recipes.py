"""Recipes where digits are lost easily: tiny normalisers, slow decays; in both precisions."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from theory import RGLRU, SLSTM, SelectiveSSM
from theory.arithmetic.rounding import ELEMENTARY_UNITS
from theory.interop import to_onnx
from theory.interop.program import Numbers
from theory.interop.recipe import step_of

PRECISIONS = [np.float64, np.float32]
FORGETS = ["sigmoid", "exp"]
ENTRIES = [-10.0, -13.0, -15.0, -20.0, -36.0, -40.0, -86.0, -88.0, -102.0, -120.0, -700.0, -1000.0]
KEPT = [-1000.0, -100.0, -40.0, -1.0, 0.0, 4.0, 20.0]


def rounded(array, dtype):
    """Return an array of numbers that both precisions have, as doubles."""
    return np.asarray(array).astype(dtype).astype(np.float64)


def cell_of(rng, i, f, forget, dtype, n=2, m=2):
    W, U = 0.5 * rng.standard_normal((4 * n, n)), 0.5 * rng.standard_normal((4 * n, m))
    b = np.repeat([i, f, 0.3, 1.0], n)
    return SLSTM(*(rounded(one, dtype) for one in (W, U, b)), forget=forget)


def states_of(rng, cell, dtype, count=60):
    """Return states whose old and new shares are of one size, or one tiny, or nothing old."""
    n = cell.units
    i, f = cell.b[:n], cell.b[n : 2 * n]
    f = -np.logaddexp(0.0, -f) if cell.forget == "sigmoid" else f
    spread = rng.uniform(-1, 1, (count, n)) * rng.choice([3.0, 30.0, 300.0], (count, n))
    s = np.logaddexp(0.0, np.clip(i - f + spread, -750.0, 700.0))
    s[::7] = 0.0
    y = rng.uniform(-1, 1, (count, n))
    return rounded(np.concatenate([s * 0 + y, s, 0.7 * y], axis=-1), dtype)


def budget(cell, h, x, dtype):
    """Bound |recipe - step| for y, s and h, both computed in units of `dtype`.

    d = log(i) - log(f nu) is a sum of sums and logarithms: it errs by at most D, the units of its
    parts times their sizes.  |sigma'| <= 1/4 for two shares, and s = log(1 + e^t) has a relative
    slope in t of 1 at most.
    """
    n, m, u = cell.units, cell.input_dim, np.finfo(dtype).eps / 2
    c, eta = ELEMENTARY_UNITS, np.finfo(dtype).smallest_subnormal
    sizes = np.abs(h[:, 2 * n :]) @ np.abs(cell.W).T + np.abs(x) @ np.abs(cell.U).T + np.abs(cell.b)
    i, f, z, o = np.split(sizes, 4, axis=-1)
    s = h[:, n : 2 * n]
    with np.errstate(divide="ignore"):
        part = np.log(-np.expm1(-s))
    old = s + np.where(s > 0, np.abs(part), 0.0)
    D = 2 * u * (n + m + 2 + 4 * c) * (1 + i + f + old)
    dy = D / 2 + 2 * u * ((n + m + 2) * z + 4 * c)
    new = cell.step(h, x)[:, n : 2 * n]
    ds = np.expm1(D + 2 * u * 6 * c) * new + 8 * c * eta
    dh = dy + 2 * u * ((n + m + 2) * o / 4 + 4 * c)
    return np.concatenate([dy, ds, dh], axis=-1)


def cases(dtype):
    """Return cells, states and inputs of all gate biases."""
    rng = np.random.default_rng(0)
    for i, f, forget in itertools.product(ENTRIES, KEPT, FORGETS):
        cell = cell_of(rng, i, f, forget, dtype)
        h = states_of(rng, cell, dtype)
        yield cell, h, rounded(rng.standard_normal((len(h), cell.input_dim)), dtype)


@pytest.mark.parametrize("dtype", PRECISIONS)
def test_an_slstm_with_tiny_normalisers_is_its_step(dtype):
    mixed = 0
    for cell, h, x in cases(dtype):
        given = {name: p.astype(dtype) for name, p in cell.parameters.items()}
        with np.errstate(over="ignore"):
            found = step_of(Numbers(dtype), cell, given, h.astype(dtype), x.astype(dtype))
        expected = cell.step(h, x)
        assert found.dtype == dtype
        assert np.all(np.abs(found - expected) <= budget(cell, h, x, dtype)), cell.b
        mixed += np.sum(~(np.abs(expected[:, :2] - h[:, :2]) <= 0.1))
    assert mixed > 1000  # the states are such that both shares count


@pytest.mark.parametrize("dtype", PRECISIONS)
def test_a_module_of_an_slstm_is_its_step(dtype):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed (extra: torch)")
    from theory.torch import to_torch

    kind = torch.float64 if dtype is np.float64 else torch.float32
    for cell, h, x in itertools.islice(cases(dtype), 0, None, 3):
        module = to_torch(cell).to(kind)
        found = module.step(*(torch.tensor(one, dtype=kind) for one in (h, x)))
        error = np.abs(found.detach().numpy() - cell.step(h, x))
        assert np.all(error <= budget(cell, h, x, dtype)), cell.b


@pytest.mark.parametrize("forget", FORGETS)
@pytest.mark.parametrize("i", [-10.0, -40.0, -400.0, -800.0])
def test_slopes_of_a_module_of_an_slstm_are_those_of_the_map(i, forget):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed (extra: torch)")
    from theory.torch import to_torch

    rng = np.random.default_rng(3)
    cell = cell_of(rng, i, 1.0, forget, np.float64)
    module, x = to_torch(cell), rng.standard_normal(2)
    h = states_of(rng, cell, np.float64)
    for one in h[(h[:, 2:4] > 0).all(axis=1)][:5]:
        # slopes of sigma and softplus change with d by their own size at most
        slack = 4 * budget(cell, one[None], x[None], np.float64).max()
        given = torch.tensor(one), torch.tensor(x)
        by_state, by_input = torch.autograd.functional.jacobian(module.step, given)
        for found, expected in (
            (by_state, cell.jacobian_state(one, x)),
            (by_input, cell.jacobian_input(one, x)),
        ):
            # sigma' is known to a unit of 1, of which 1 / nu in s makes much: here as in log(nu)
            scale = np.ones(found.shape[-1])
            if found is by_state:
                scale[2:4] = -np.expm1(-one[2:4])
            error, size = np.abs(found.numpy() - expected) * scale, np.abs(expected) * scale
            assert np.all(error <= slack * (1 + size))
    # from rest, where log(nu) is -inf
    module(torch.tensor(rng.standard_normal((5, 2)))).square().sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in module.parameters())


@pytest.mark.parametrize("forget", FORGETS)
@pytest.mark.parametrize(
    ("i", "dtype"),
    [(i, np.float64) for i in (-10.0, -40.0, -120.0, -700.0, -800.0)]
    + [(i, np.float32) for i in (-10.0, -13.0, -15.0, -20.0, -40.0, -80.0)],
)
def test_a_graph_of_an_slstm_keeps_the_sign(i, dtype, forget, tmp_path):
    pytest.importorskip("onnx", reason="onnx is not installed (extra: onnx)")
    ort = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    # two inputs up and one down: the mean of three is above 0, the last alone below
    U, b = [[0.0], [0.0], [3.0], [0.0]], [i, 20.0 if forget == "sigmoid" else 0.0, 0.0, 1.0]
    cell = SLSTM(np.zeros((4, 1)), U, b, forget=forget)
    X = np.array([[1.0], [1.0], [-1.0]])
    H = cell.simulate(X)
    assert (H[-1, 0] > 0.3) == (i > -745.0)  # below, nu is 0 in the map itself
    path = tmp_path / "m.onnx"
    to_onnx(cell, path, k=3, single=dtype is np.float32)
    found = ort.InferenceSession(str(path)).run(["Y"], {"X": X[None].astype(dtype)})[0][0]
    before = np.concatenate([np.zeros((1, 3)), H[:-1]])
    # step j starts with s off by j budgets of d: 3^2 in all
    error = np.abs(found - H[-1])
    assert np.all(error <= 9 * budget(cell, before, X, dtype).max(axis=0))


@pytest.mark.parametrize("dtype", PRECISIONS)
def test_slow_decays_keep_their_digits(dtype):
    u = np.finfo(dtype).eps / 2
    slow = 10.0 ** -np.arange(1.0, 12.0)
    # of logarithm, exponential, quotients and products, of recipe and step: a few functions each
    slack = 2 * 6 * ELEMENTARY_UNITS * u
    Lambda = rounded(-np.log(slow), dtype)
    gated = RGLRU(np.zeros((2 * len(slow), len(slow))), Lambda)
    skew = SelectiveSSM(
        rounded(slow[:, None], dtype), np.zeros((len(slow),) * 2), np.zeros((1, len(slow))),
        np.zeros(len(slow)), np.ones(1), discretization="zoh",
    )  # fmt: skip
    for one in (gated, skew):
        h, x = np.zeros(one.state_dim), np.ones(one.input_dim)
        given = {name: p.astype(dtype) for name, p in one.parameters.items()}
        found = step_of(Numbers(dtype), one, given, h.astype(dtype), x.astype(dtype))
        assert found.dtype == dtype
        assert np.all(np.abs(found / one.step(h, x) - 1) <= slack)
