"""The named hypotheses that theorems share, each with the check that establishes it for a run."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from theory.norms import Linf, WeightedL2, WeightedLinf
from theory.theorem import Assumption

if TYPE_CHECKING:
    from theory.measure import Run


def _incremental_lmi_holds(run: Run) -> bool:
    form, q = run.map.affine(), run.of.contraction.evidence.multipliers
    if form is None or len(q) != len(form.W) or not isinstance(run.norm, WeightedL2):
        return False
    low, high = (np.full(len(q), slope) for slope in form.rho.slope)
    return run.norm.incremental_lmi_holds(form.W, (low, high), np.array(q), run.lam)


def _two_layers(run: Run) -> bool:
    from theory.comparison import layer_rates

    rates = layer_rates(run.map, run.of.contraction.domain)
    return rates is not None and len(rates.rates) == 2


CONTRACTIVE = Assumption(
    name="contractive",
    statement="|step(h, x) - step(g, x)| <= lam * |h - g| for all states h, g and all inputs x",
    holds=lambda run: (
        run.of.contraction.iterate == 1 and run.within_domain and not run.contradicted
    ),
)
ZERO_START = Assumption(
    name="zero_start",
    statement="h_0 = 0 and the truncated model restarts from 0",
    holds=lambda run: not np.any(run.of.start) and not np.any(run.of.restart),
)
ZERO_RESTART = Assumption(
    name="zero_restart",
    statement="the truncated model restarts from 0",
    holds=lambda run: not np.any(run.of.restart),
)
SAME_INPUTS = Assumption(
    name="same_inputs",
    statement="both trajectories receive the same inputs",
    holds=lambda run: True,  # noqa: ARG005  (a run is simulated that way)
)
DRIVE_BOUNDED = Assumption(
    name="drive_bounded",
    statement="|step(0, x_t)| <= drive for all t",
    holds=lambda run: math.isfinite(run.drive),
)
INPUT_LIPSCHITZ = Assumption(
    name="input_lipschitz",
    statement="|step(h, x) - step(h, y)| <= gain * |x - y| for all states h and all inputs x, y",
    holds=lambda run: math.isfinite(run.input_gain),
)
OUTPUT_LIPSCHITZ = Assumption(
    name="output_lipschitz",
    statement="|f(h) - f(g)| <= lipschitz * |h - g|",
    holds=lambda run: math.isfinite(run.output_lipschitz),
)
AFFINE_FORM = Assumption(
    name="affine_form",
    statement="step(h, x) = rho(W h + U x + b) with rho elementwise and slope-Lipschitz",
    holds=lambda run: run.map.affine() is not None,
)
MONOTONE_NORM = Assumption(
    name="monotone_norm",
    statement="|a_i| <= |b_i| for all i implies |a| <= |b|, or rho is linear",
    holds=lambda run: (
        run.norm.monotone
        or ((form := run.map.affine()) is not None and form.rho.slope[0] == form.rho.slope[1])
    ),
)
WEIGHTED_MAXIMUM = Assumption(
    name="weighted_maximum",
    statement="the norm is max_i |h_i| / v_i with v positive",
    holds=lambda run: isinstance(run.norm, WeightedLinf),
)
MAJORISED = Assumption(
    name="majorised",
    statement="|step(h, x) - step(g, x)|_i <= max over matrices M >= 0 of (M |h - g|)_i for all i",
    holds=lambda run: run.map.comparison(run.of.contraction.domain) is not None,
)
IN_DOMAIN = Assumption(
    name="in_domain",
    statement="all states and inputs lie in a domain that the map never leaves",
    holds=lambda run: run.within_domain,
)
LSTM_CELL = Assumption(
    name="lstm_cell",
    statement="c+ = f c + i z, h+ = o tanh(c+), logistic gates i, f, o and z = tanh of (h, x)",
    holds=lambda run: type(run.map).__name__ == "LSTM",
)
GRU_CELL = Assumption(
    name="gru_cell",
    statement="h+ = (1 - z) n + z h, logistic z and r, n = tanh with r at h or at W_n h + b_c",
    holds=lambda run: type(run.map).__name__ == "GRU",
)
MAXIMUM_NORM = Assumption(
    name="maximum_norm",
    statement="the norm is max_i |h_i|",
    holds=lambda run: isinstance(run.norm, Linf),
)
TWO_LAYERS = Assumption(
    name="two_layers",
    statement="two layers contract by first and second, the upper sees the lower one's new state",
    holds=lambda run: run.within_domain and _two_layers(run),
)
INCREMENTAL_LMI = Assumption(
    name="incremental_lmi",
    statement="the block matrix of the slopes, W, P and a diagonal Q is positive semidefinite",
    holds=lambda run: _incremental_lmi_holds(run),
)
TWO_CONTRACTIONS = Assumption(
    name="two_contractions",
    statement="first contracts by lam_first in one norm, second by lam_second in another",
    holds=lambda run: (
        run.of.partner is not None
        and run.of.partner_contraction is not None
        and run.of.contraction.shares_domain(run.of.partner_contraction)
        and run.of.partner_contraction.iterate == 1
        and run.of.contraction.iterate == 1
        and run.within_domain
        and not run.contradicted
        and not run.partner_contradicted
    ),
)
SCALAR_LINEAR = Assumption(
    name="scalar_linear",
    statement="the family h <- lam * h + gain * x, y = lipschitz * h, |x| <= input_bound",
    holds=lambda run: (
        run.map.state_dim == 1
        and run.map.input_dim == 1
        and (form := run.map.affine()) is not None
        and form.rho.name == "identity"
        and form.W[0, 0] == run.lam
        and form.b[0] == 0
        and run.of.head.C.shape == (1, 1)
    ),
)
