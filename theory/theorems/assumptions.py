"""The named hypotheses that theorems share; `theory.trials.establish` says how each is checked."""

from __future__ import annotations

from theory.theorems.theorem import Assumption

CONTRACTIVE = Assumption(
    name="contractive",
    statement="|step(h, x) - step(g, x)| <= lam * |h - g| for all states h, g and all inputs x",
)
ITERATE_CONTRACTIVE = Assumption(
    name="iterate_contractive",
    statement="r steps from h and from g under the same inputs end within lam * |h - g|",
)
STEP_LIPSCHITZ = Assumption(
    name="step_lipschitz",
    statement="|step(h, x) - step(g, x)| <= growth * |h - g| for all states h, g and all inputs x",
)
PRODUCTS_BOUNDED = Assumption(
    name="products_bounded",
    statement="all products of r matrices diag(s) W, slopes s_i of rho, have norm <= product",
)
ZERO_START = Assumption(
    name="zero_start",
    statement="h_0 = 0 and the truncated model restarts from 0",
)
ZERO_RESTART = Assumption(
    name="zero_restart",
    statement="the truncated model restarts from 0",
)
SAME_INPUTS = Assumption(
    name="same_inputs",
    statement="both trajectories receive the same inputs",
)
DRIVE_BOUNDED = Assumption(
    name="drive_bounded",
    statement="|step(0, x_t)| <= drive for all t",
)
STEPS_ERR = Assumption(
    name="steps_err",
    statement="computed steps of the k-step model err by at most step_error, of the recurrent "
    "model by at most run_error, each from the state that was computed before",
)
INPUT_LIPSCHITZ = Assumption(
    name="input_lipschitz",
    statement="|step(h, x) - step(h, y)| <= gain * |x - y| for all states h and all inputs x, y",
)
OUTPUT_LIPSCHITZ = Assumption(
    name="output_lipschitz",
    statement="|f(h) - f(g)| <= lipschitz * |h - g|",
)
AFFINE_FORM = Assumption(
    name="affine_form",
    statement="step(h, x) = rho(W h + U x + b) with rho elementwise and slope-Lipschitz",
)
MONOTONE_NORM = Assumption(
    name="monotone_norm",
    statement="|a_i| <= |b_i| for all i implies |a| <= |b|, or rho is linear",
)
WEIGHTED_MAXIMUM = Assumption(
    name="weighted_maximum",
    statement="the norm is max_i |h_i| / v_i with v positive",
)
MAJORISED = Assumption(
    name="majorised",
    statement="|step(h, x) - step(g, x)|_i <= max over matrices M >= 0 of (M |h - g|)_i for all i",
)
TERMS_BOUNDED = Assumption(
    name="terms_bounded",
    statement="|step(h, x) - step(g, x)|_i <= max over sheets of sum_k C_ik |y_ki| for all i, "
    "y_k linear in h - g",
)
WEIGHTED_EUCLIDEAN = Assumption(
    name="weighted_euclidean",
    statement="the norm is (sum_i p_i h_i**2)**(1/2) with p positive",
)
FORM_BOUNDED = Assumption(
    name="form_bounded",
    statement="sum_i p_i sum_k t_ik y_ki**2 <= level * |h - g|**2 for all h - g, t positive",
)
IN_DOMAIN = Assumption(
    name="in_domain",
    statement="all states and inputs lie in a domain that the map never leaves",
)
LEAKY = Assumption(
    name="leaky",
    statement="step(h, x) = (1 - leak) h + leak f(h, x) with one leak for all units, from 0 to 1",
)
INNER_LIPSCHITZ = Assumption(
    name="inner_lipschitz",
    statement="|f(h, x) - f(g, x)| <= rate * |h - g| for all states h, g and inputs in question",
)
LSTM_CELL = Assumption(
    name="lstm_cell",
    statement="c+ = f c + i z, h+ = o tanh(c+), logistic gates i, f, o and z = tanh of (h, x)",
)
GRU_CELL = Assumption(
    name="gru_cell",
    statement="h+ = (1 - z) n + z h, logistic z and r, n = tanh with r at h or at W_n h + b_c",
)
MAXIMUM_NORM = Assumption(
    name="maximum_norm",
    statement="the norm is max_i |h_i|",
)
TWO_LAYERS = Assumption(
    name="two_layers",
    statement="two layers contract by first and second, the upper sees the lower one's new state",
)
LAYERED = Assumption(
    name="layered",
    statement="every layer contracts by own in its norm and is Lipschitz by gain in the new state "
    "of the layer below",
)
BLOCK_MAXIMUM = Assumption(
    name="block_maximum",
    statement="the norm is max_l w_l |h_l|_l over the layers, w positive",
)
INCREMENTAL_LMI = Assumption(
    name="incremental_lmi",
    statement="the block matrix of the slopes, W, P and a diagonal Q is positive semidefinite",
)
IN_SECTORS = Assumption(
    name="in_sectors",
    statement="step(h, x) - step(g, x) is linear in h - g and in terms w_k with |w_k| <= |y_k|, "
    "y_k linear in h - g and in the terms",
)
SECTOR_LMI = Assumption(
    name="sector_lmi",
    statement="rate**2 |h - g|**2 - |step(h, x) - step(g, x)|**2 - sum_k q_k (y_k**2 - w_k**2) "
    "is positive semidefinite, q positive",
)
TWO_CONTRACTIONS = Assumption(
    name="two_contractions",
    statement="first contracts by lam_first in one norm, second by lam_second in another",
)
SCALAR_LINEAR = Assumption(
    name="scalar_linear",
    statement="the family h <- lam * h + gain * x, y = lipschitz * h, |x| <= input_bound",
)
NEAREST_POINT = Assumption(
    name="nearest_point",
    statement="P(w) is a point of the set at the least distance from w",
)
CONVEX_SET = Assumption(
    name="convex_set",
    statement="with two points the set contains the segment between them",
)
HALF_SPACE = Assumption(
    name="half_space",
    statement="<normal, v> <= support for every member v",
)
BOUNDED_PRODUCT = Assumption(
    name="bounded_product",
    statement="u v <= product for every member (u, v)",
)


CONTRACTIVE_SET = Assumption(
    name="contractive_set",
    statement="|step_w(h, x) - step_w(g, x)| <= lam * |h - g| for every w between w and v",
)
WEIGHT_LIPSCHITZ = Assumption(
    name="weight_lipschitz",
    statement="|step_w(h, x) - step_v(h, x)| <= weight_gain * |w - v| on the states met",
)
SMOOTH_MAP = Assumption(
    name="smooth_map",
    statement="d_h step and d_w step change by at most beta_hh |h - g| + beta_hw |w - v| and "
    "beta_wh |h - g| + beta_ww |w - v|",
)
LOSS_LIPSCHITZ = Assumption(
    name="loss_lipschitz",
    statement="|grad p(h)|_* <= loss_gain on the states met",
)
LOSS_SMOOTH = Assumption(
    name="loss_smooth",
    statement="|grad p(h) - grad p(g)|_* <= beta_p * |h - g|",
)
SAME_START = Assumption(
    name="same_start",
    statement="both trajectories start from the same state and receive the same inputs",
)
GRADIENT_MISMATCH = Assumption(
    name="gradient_mismatch",
    statement="|grad p(w) - grad p^k(w)| <= mismatch on the set of parameters",
)
TWIN_DESCENTS = Assumption(
    name="twin_descents",
    statement="w and v start together and take the same step sizes",
)
NONEXPANSIVE = Assumption(
    name="nonexpansive",
    statement="|Pi(w) - Pi(v)| <= |w - v|, as for the Euclidean projection onto a convex set",
)
SCALAR_GROWTH = Assumption(
    name="scalar_growth",
    statement="h_t = factor * h_(t-1) + 1, h_0 = 0, p_t = (h_t - 1)**2 / 2 in the parameter factor",
)
STATIONARY = Assumption(
    name="stationary",
    statement="the symbols are a stationary process over a finite alphabet",
)
SHARED_INFORMATION = Assumption(
    name="shared_information",
    statement="the mutual information of all past and all future symbols is at most information",
)
BIRKHOFF = Assumption(
    name="birkhoff",
    statement="A is positive, log(A_ij A_kl / (A_il A_kj)) <= diameter for all i, j, k, l, and "
    "tau = tanh(diameter / 4)",
)
