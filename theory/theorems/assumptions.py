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
    certificate = run.of.contraction
    form, q = run.map.affine_on(certificate.domain), certificate.evidence.multipliers
    if form is None or len(q) != len(form.W) or not isinstance(run.norm, WeightedL2):
        return False
    if not run.within_domain:
        return False
    return run.norm.incremental_lmi_holds(form.W, form.slopes, np.array(q), run.lam)


def _two_layers(run: Run) -> bool:
    from theory.comparison import layer_rates
    from theory.invariance import is_invariant

    domain = run.of.contraction.domain
    if domain is not None and not is_invariant(run.map, domain):
        return False
    rates = layer_rates(run.map, domain)
    return rates is not None and len(rates.rates) == 2


CONTRACTIVE = Assumption(
    name="contractive",
    statement="|step(h, x) - step(g, x)| <= lam * |h - g| for all states h, g and all inputs x",
    holds=lambda run: (
        run.of.contraction.iterate == 1 and run.within_domain and not run.contradicted
    ),
)
ITERATE_CONTRACTIVE = Assumption(
    name="iterate_contractive",
    statement="r steps from h and from g under the same inputs end within lam * |h - g|",
    holds=lambda run: run.within_domain and not run.contradicted,
)
STEP_LIPSCHITZ = Assumption(
    name="step_lipschitz",
    statement="|step(h, x) - step(g, x)| <= growth * |h - g| for all states h, g and all inputs x",
    holds=lambda run: math.isfinite(run.growth),
)
PRODUCTS_BOUNDED = Assumption(
    name="products_bounded",
    statement="all products of r matrices diag(s) W, slopes s_i of rho, have norm <= product",
    holds=lambda run: run.within_domain and run.products_bounded,
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
NEAREST_POINT = Assumption(
    name="nearest_point",
    statement="P(w) is a point of the set at the least distance from w",
    holds=lambda run: run.map.affine() is not None,
)
CONVEX_SET = Assumption(
    name="convex_set",
    statement="with two points the set contains the segment between them",
    # a run is about a ball of matrices in its norm
    holds=lambda run: run.map.affine() is not None,
)
HALF_SPACE = Assumption(
    name="half_space",
    statement="<normal, v> <= support for every member v",
    holds=lambda run: run.map.affine() is not None,
)
BOUNDED_PRODUCT = Assumption(
    name="bounded_product",
    statement="u v <= product for every member (u, v)",
    holds=lambda run: run.map.affine() is not None,
)


def _learns(run: Run) -> bool:
    return run.learning is not None and run.learning.pair is not None


def _smooth(run: Run) -> bool:
    learning = run.learning
    return learning is not None and learning.pair is not None and learning.pair.smooth


def _clips(run: Run) -> bool:
    """Return whether a projection does not stretch the distances that a run can show."""
    learning = run.learning
    return learning is not None and learning.nonexpansive


def _is_growing_system(run: Run) -> bool:
    training, form = run.of.training, run.map.affine()
    return (
        training is not None
        and training.trained == ("A",)
        and training.loss.name == "squared"
        and run.map.state_dim == 1
        and form is not None
        and form.rho.name == "identity"
        and bool(form.W[0, 0] >= 1)
        and not np.any(run.of.start)
        and len(run.of.inputs) > 1
        and bool((run.of.inputs @ form.U.T + form.b == 1).all())
        and run.of.head.C.tolist() == [[1.0]]
        and run.of.head.d.tolist() == [0.0]
        and bool((training.targets == 1).all())
    )


CONTRACTIVE_SET = Assumption(
    name="contractive_set",
    statement="|step_w(h, x) - step_w(g, x)| <= lam * |h - g| for every w between w and v",
    holds=_learns,
)
WEIGHT_LIPSCHITZ = Assumption(
    name="weight_lipschitz",
    statement="|step_w(h, x) - step_v(h, x)| <= weight_gain * |w - v| on the states met",
    holds=_learns,
)
SMOOTH_MAP = Assumption(
    name="smooth_map",
    statement="d_h step and d_w step change by at most beta_hh |h - g| + beta_hw |w - v| and "
    "beta_wh |h - g| + beta_ww |w - v|",
    holds=_smooth,
)
LOSS_LIPSCHITZ = Assumption(
    name="loss_lipschitz",
    statement="|grad p(h)|_* <= loss_gain on the states met",
    holds=_learns,
)
LOSS_SMOOTH = Assumption(
    name="loss_smooth",
    statement="|grad p(h) - grad p(g)|_* <= beta_p * |h - g|",
    holds=_learns,
)
SAME_START = Assumption(
    name="same_start",
    statement="both trajectories start from the same state and receive the same inputs",
    holds=lambda run: True,  # noqa: ARG005  (they are simulated that way)
)
GRADIENT_MISMATCH = Assumption(
    name="gradient_mismatch",
    statement="|grad p(w) - grad p^k(w)| <= mismatch on the set of parameters",
    holds=_learns,
)
TWIN_DESCENTS = Assumption(
    name="twin_descents",
    statement="w and v start together and take the same step sizes",
    holds=_learns,
)
NONEXPANSIVE = Assumption(
    name="nonexpansive",
    statement="|Pi(w) - Pi(v)| <= |w - v|, as for the Euclidean projection onto a convex set",
    holds=_clips,
)
SCALAR_GROWTH = Assumption(
    name="scalar_growth",
    statement="h_t = factor * h_(t-1) + 1, h_0 = 0, p_t = (h_t - 1)**2 / 2 in the parameter factor",
    holds=_is_growing_system,
)
