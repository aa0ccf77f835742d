"""Certificates for Rocq: what is written, what is refused, and what the compiler says of it."""

import re
import shutil
import subprocess

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from theory import (
    GRU,
    L1,
    L2,
    LSTM,
    BlockMax,
    Contraction,
    EchoStateNetwork,
    Inputs,
    LinearMap,
    Linf,
    VanillaRNN,
    WeightedL1,
    WeightedLinf,
    contraction,
)
from theory.certify.rocq_boxes import ONE, logistic_image, tanh_image
from theory.certify.rocq_file import for_rocq, rocq_text, save_rocq
from theory.certify.rocq_forms import definite
from theory.certify.rocq_gated import cell_of, gates_of

W = np.array([[0.5, -0.25], [0.125, 0.25]])
CELL = VanillaRNN(W, np.eye(2))
W3, U3 = np.zeros((6, 2)), np.zeros((6, 1))
ROWS, COLUMNS = Contraction.assumed(0.75, Linf()), Contraction.assumed(0.625, L1())


def test_the_integers_are_the_entries():
    text = rocq_text(CELL, c=ROWS)
    assert "Definition scale := 8%Z." in text
    assert "Definition M : list (list Z) := ([4; -2] :: [1; 2] :: nil)%Z." in text
    assert "([4; 1] :: [-2; 2] :: nil)" in rocq_text(CELL, c=COLUMNS)  # by columns
    assert f"Definition num := {3 * 2**28}%Z." in text
    weighted = Contraction.assumed(0.75, WeightedL1([1.0, 1.5]))
    assert "Definition V : list Z := [2; 3]%Z." in rocq_text(CELL, c=weighted)


def test_the_context_is_that_of_the_bound():
    text = rocq_text(CELL, c=ROWS, eps=0.5, drive=1.0)
    # 0.75**8 / 0.25 = 0.4004.., and 7 give more than a half
    assert "(* 8 inputs suffice for an error of 0.5 if |map 0 u_s| <= 1.0 *)" in text
    # one power after the other would take minutes
    slow = rocq_text(CELL, c=Contraction.assumed(0.9999, Linf()), eps=1e-6, drive=1.0)
    assert "Theorem truncated" in slow
    assert "Theorem context" not in slow


@pytest.mark.parametrize(
    ("cell", "c", "said"),
    [
        (CELL, Contraction.assumed(0.7, Linf()), "one of the rows exceeds"),
        (CELL, Contraction.assumed(0.6, L1()), "one of the columns exceeds"),
        (CELL, Contraction.assumed(0.5, L2()), "whose inequality is too near to an equation"),
        (CELL, Contraction.assumed(0.9, Linf(), iterate=2), "of one step"),
        (CELL, Contraction.assumed(0.9, BlockMax([Linf()], sizes=[2])), "needed a maximum, sum or"),
        (VanillaRNN(W, np.eye(2), activation="sin"), ROWS, "needed one of: identity, relu, tanh"),
        (VanillaRNN(np.zeros((65, 65)), np.eye(65)), ROWS, "at most 64 units"),
        (EchoStateNetwork(W, np.eye(2), leak=[0.5, 1.0]), ROWS, "one leak for all units"),
        (GRU(W3, U3, variant="reset_before"), ROWS, "the reset gate after the product"),
        (GRU(W3, U3), ROWS, "of one step on a box"),
    ],
)
def test_what_a_file_cannot_hold_is_refused(cell, c, said):
    with pytest.raises(ValueError, match=said):
        rocq_text(cell, c=c)


def test_the_smallest_rate_that_fits_is_taken():
    spectral = Contraction.assumed(0.5, L2(), iterate=2)
    assert for_rocq(CELL, [ROWS, spectral, COLUMNS]) is COLUMNS
    with pytest.raises(ValueError, match="theory certify --json"):
        for_rocq(CELL, [spectral])


def test_the_context_is_in_the_units_of_the_norm():
    """The distance of a file is a multiple of the norm, and drive and error are likewise."""
    text = rocq_text(CELL, c=Contraction.assumed(0.75, WeightedL1([1.0, 1.5])), eps=0.5, drive=1.0)
    assert "apart is 2 times |h| *)" in text
    assert "apart (map zero (u s)) zero <= 2 / 1)" in text
    assert "zero (t - 8) 8) <= 1 / 1." in text
    weighted = rocq_text(CELL, c=Contraction.assumed(0.875, WeightedLinf([1.0, 1.5])), eps=0.5)
    assert "apart is 1/2 times |h| *)" in weighted


# forms that are not negative ----------------------------------------------------------------------


@given(st.integers(1, 6), st.integers(0, 2**32 - 1), st.integers(0, 90))
def test_what_is_shown_of_a_form_is_so(n, seed, scale):
    """D N D = c L L^T + R with R dominated by its diagonal, whatever the units."""
    rng = np.random.default_rng(seed)
    G = rng.integers(-(2**20), 2**20, (n, n + 2)).astype(object)
    units = np.array([2 ** int(k) for k in rng.integers(0, 40, n)], dtype=object)
    N = 2**scale * units[:, None] * (G @ G.T + 2**34 * np.diag(np.ones(n, dtype=object))) * units
    found = definite(N)
    assert found is not None
    D = np.array(found.D, dtype=object)
    L = np.array([row + [0] * (n - len(row)) for row in found.L], dtype=object)
    R = D[:, None] * N * D - found.c * (L @ L.T)
    off = [abs(R[i, j]) for i in range(n) for j in range(n) if i != j]
    assert all(d > 0 for d in found.D)
    assert max(off, default=0) <= found.e
    assert all(n * found.e <= R[i, i] for i in range(n))
    # one entry less, and it is indefinite
    N[0, 0] = -1
    assert definite(N) is None


# boxes of gated cells -----------------------------------------------------------------------------


@given(st.floats(-40, 40), st.floats(-40, 40))
def test_ends_of_gates_hold_their_values(a, b):
    low, high = (int(x * ONE) for x in sorted((a, b)))
    for image, value in ((logistic_image, mp_logistic), (tanh_image, mpmath.tanh)):
        ends = image(low, high)
        with mpmath.workdps(40):
            least, most = value(mpmath.mpf(low) / ONE), value(mpmath.mpf(high) / ONE)
            assert ends[0] <= least * ONE
            assert most * ONE <= ends[1]
            # (1 + x / 2**40)**(2**40) is off by x**2 / 2**41, relatively
            assert (least * ONE - ends[0]) + (ends[1] - most * ONE) <= 2 * 1600 + 4


def mp_logistic(a):
    return 1 / (1 + mpmath.exp(-a))


GATED = {
    "lstm": LSTM(
        0.4 * np.sin(np.arange(24.0)).reshape(8, 3)[:, :2],
        0.1 * np.ones((8, 1)),
        np.repeat([0.0, -2.0, 0.0, 0.0], 2),
    ),
    "gru": GRU(
        0.3 * np.cos(np.arange(12.0)).reshape(6, 2),
        0.1 * np.ones((6, 1)),
        b_candidate=[0.25, -0.5],
    ),
}


@pytest.mark.parametrize("cell", GATED.values(), ids=GATED)
def test_a_box_is_kept_and_its_terms_bound_a_step(cell):
    c = contraction(cell, method="comparison", inputs=Inputs.box(-1, 1))
    kind = cell_of(cell)
    gates = gates_of(cell, c)
    box = kind.box(
        gates, [int(x * ONE) for x in c.domain.low], [int(x * ONE) for x in c.domain.high]
    )
    lo, hi = (np.array(box.ends[name]) / ONE for name in ("lo", "hi"))
    rng = np.random.default_rng(0)
    h, g = (rng.uniform(lo, hi, (500, len(lo))) for _ in range(2))
    h[:50], g[:50] = np.where(rng.random((50, len(lo))) < 0.5, lo, hi), hi
    x = rng.uniform(-1, 1, (500, 1))
    moved = cell.step(h, x)
    assert np.all((lo - 1e-9 <= moved) & (moved <= hi + 1e-9))
    n, d = gates.units, h - g
    stacked = np.split(np.array(gates.W) / gates.scale, kind.blocks)
    signals = [np.abs(d[:, :n]), *(np.abs(d[:, -n:] @ V.T) for V in stacked)]
    bounds = [
        sum(np.tile(y, kind.parts) * np.array(sheet)[:, k] / ONE for k, y in enumerate(signals))
        for sheet in box.terms
    ]
    assert np.all(np.abs(moved - cell.step(g, x)) <= np.max(bounds, axis=0) + 1e-9)


# the compiler -------------------------------------------------------------------------------------


def compiled(path):
    return subprocess.run(
        ["coqc", "-q", path.name], cwd=path.parent, capture_output=True, text=True, check=False
    )


COMPILER = pytest.mark.skipif(shutil.which("coqc") is None, reason="coqc is not installed")

#: A map that no matrix norm certifies, with slopes between 0 and 1 (Ando's theorem).
MONE = VanillaRNN([[0.9, -1.0], [0.5, -0.9]], np.eye(2))


def cases():
    """Return a map and a contraction of every kind."""
    rng = np.random.default_rng(0)
    large = rng.standard_normal((64, 64))
    large *= 0.9 / np.abs(large).sum(axis=1).max()
    wide = VanillaRNN(large, np.eye(64), activation="sigmoid")
    leaky = EchoStateNetwork(W, np.eye(2), leak=0.3)
    linear = LinearMap(W, np.eye(2))
    found = {
        "rows": (CELL, ROWS),
        "columns": (CELL, COLUMNS),
        "weighted": (CELL, contraction(CELL, method="perron")),
        "large": (wide, Contraction.assumed(0.9 / 4 + 1e-9, Linf())),
        "spectral": (CELL, contraction(CELL, method="spectral")),
        "diagonal": (CELL, contraction(CELL, method="diagonal")),
        "inequality": (MONE, contraction(MONE, method="lmi")),
        "lyapunov": (linear, contraction(linear, method="lyapunov")),
        "leak": (leaky, contraction(leaky, method="leak")),
        "leaky_rows": (leaky, Contraction.assumed(0.7 + 0.3 * 0.75, Linf())),
    }
    for name, cell in GATED.items():
        for method in ("comparison", "euclidean"):
            c = contraction(cell, method=method, inputs=Inputs.box(-1, 1))
            found[f"{name}_{method}"] = cell, c
    return found


@pytest.mark.slow
@COMPILER
@pytest.mark.parametrize("name", cases())
def test_rocq_accepts_what_is_true(name, tmp_path):
    cell, c = cases()[name]
    path = tmp_path / f"{name}.v"
    save_rocq(path, cell, c=c, eps=1e-3, drive=2.0)
    done = compiled(path)
    assert done.returncode == 0, done.stderr
    assumed = set(re.findall(r"^([\w.]+)", done.stdout, re.MULTILINE))
    assert assumed <= {
        "Axioms",
        "Classical_Prop.classic",
        "ClassicalDedekindReals.sig_forall_dec",
        "ClassicalDedekindReals.sig_not_dec",
        "FunctionalExtensionality.functional_extensionality_dep",
    }


def less(name):
    """Return a change that makes the number of a definition one smaller."""

    def change(text):
        return re.sub(rf"(Definition {name} := )(\d+)", lambda m: f"{m[1]}{int(m[2]) - 1}", text)

    return change


def lower_rate(text):
    """Return the text with a rate smaller by a hundredth, whatever it is."""
    return re.sub(
        r"(Definition (?:inner_)?num := )(\d+)", lambda m: f"{m[1]}{int(m[2]) * 99 // 100}", text
    )


def raise_entry(name):
    """Return a change that makes the first entry of a list of numbers larger by 2**58."""

    def change(text):
        return re.sub(
            rf"(Definition {name} : list [^=]*:= \(?\[)(-?\d+)",
            lambda m: f"{m[1]}{int(m[2]) + 2**58}",
            text,
        )

    return change


WRONG = {
    "rows": {
        "rate": less("num"),
        "entry": lambda text: text.replace("[4; -2]", "[4; -3]"),
        "shape": lambda text: text.replace("[4; -2]", "[4]"),
        "weight": lambda text: text.replace("V : list Z := [1; 1]", "V : list Z := [1; 2]"),
        "context": lambda text: re.sub(r"\b32\b", "31", text),
    },
    "inequality": {"rate": lower_rate, "entry": raise_entry("M"), "norm": raise_entry("P")},
    "leak": {
        "rate": lower_rate,
        "leak": lambda text: re.sub(r"leak_num := \d", "leak_num := 0", text),
    },
    "lstm_comparison": {
        "rate": less("num"),
        "entry": raise_entry("W"),
        "box": raise_entry("ulo"),
        "input": raise_entry("U"),
        "end of a gate": raise_entry("alo"),
    },
    "lstm_euclidean": {"rate": lower_rate, "load": raise_entry("t"), "weight": raise_entry("w")},
    "gru_comparison": {
        "rate": less("num"),
        "value": raise_entry("glo"),
        "held": raise_entry("vlo"),
    },
    "gru_euclidean": {"rate": lower_rate},
}


@pytest.mark.slow
@COMPILER
@pytest.mark.parametrize(
    ("name", "change"), [(name, change) for name, wrong in WRONG.items() for change in wrong]
)
def test_rocq_accepts_nothing_else(name, change, tmp_path):
    cell, c = cases()[name]
    text = rocq_text(cell, c=c, eps=1e-3, drive=2.0)
    changed = WRONG[name][change](text)
    assert changed != text
    path = tmp_path / "wrong.v"
    path.write_text(changed, encoding="utf-8")
    done = compiled(path)
    assert done.returncode != 0
    # it is a check or the proof from it that fails, not the way in which the text is written
    assert "Syntax error" not in done.stderr
