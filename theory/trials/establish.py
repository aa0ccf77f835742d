"""How each named assumption is established for a run.

Main names: `ESTABLISHED`, `missing`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np

from theory.certify.layers import layer_gains, layer_parts
from theory.maps.cascade import Cascade
from theory.maps.esn import EchoStateNetwork
from theory.maps.gru import GRU
from theory.maps.lstm import LSTM
from theory.maps.reached import holds_on
from theory.measure.learning import learning_of
from theory.measure.run import Run
from theory.memory.layers import layer_rates
from theory.norms.blocks import BlockMax
from theory.norms.norms import Linf, WeightedL2, WeightedLinf
from theory.theorems.assumptions import (
    AFFINE_FORM,
    BIRKHOFF,
    BLOCK_MAXIMUM,
    BOUNDED_PRODUCT,
    CONTRACTIVE,
    CONTRACTIVE_SET,
    CONVEX_SET,
    DRIVE_BOUNDED,
    FORM_BOUNDED,
    GRADIENT_MISMATCH,
    GRU_CELL,
    HALF_SPACE,
    IN_DOMAIN,
    IN_SECTORS,
    INCREMENTAL_LMI,
    INNER_LIPSCHITZ,
    INPUT_LIPSCHITZ,
    ITERATE_CONTRACTIVE,
    LAYERED,
    LEAKY,
    LOSS_LIPSCHITZ,
    LOSS_SMOOTH,
    LSTM_CELL,
    MAJORISED,
    MAXIMUM_NORM,
    MONOTONE_NORM,
    NEAREST_POINT,
    NONEXPANSIVE,
    OUTPUT_LIPSCHITZ,
    PRODUCTS_BOUNDED,
    SAME_INPUTS,
    SAME_START,
    SCALAR_GROWTH,
    SCALAR_LINEAR,
    SECTOR_LMI,
    SHARED_INFORMATION,
    SMOOTH_MAP,
    STATIONARY,
    STEP_LIPSCHITZ,
    STEPS_ERR,
    TERMS_BOUNDED,
    TWIN_DESCENTS,
    TWO_CONTRACTIONS,
    TWO_LAYERS,
    WEIGHT_LIPSCHITZ,
    WEIGHTED_EUCLIDEAN,
    WEIGHTED_MAXIMUM,
    ZERO_RESTART,
    ZERO_START,
)
from theory.theorems.sectors import sectors_hold
from theory.theorems.theorem import Assumption, Theorem
from theory.trials.contractive_of_leak import inner_rate
from theory.trials.contractive_of_multipliers import terms_of
from theory.trials.filter_contraction import forgets
from theory.trials.short_memory import is_source


def _incremental_lmi_holds(run: Run) -> bool:
    certificate = run.of.contraction
    form, q = run.map.affine_on(certificate.domain), certificate.evidence.multipliers
    if form is None or len(q) != len(form.W) or not isinstance(run.norm, WeightedL2):
        return False
    if not run.within_domain:
        return False
    return run.norm.incremental_lmi_holds(form.W, form.slopes, np.array(q), run.lam)


def _sectors_hold(run: Run) -> bool:
    certificate = run.of.contraction
    sectors, q = run.map.sectors(certificate.domain), np.array(certificate.evidence.multipliers)
    if sectors is None or not isinstance(run.norm, WeightedL2):
        return False
    return sectors_hold(sectors, run.norm.P, q, run.lam)


def _layered(run: Run) -> bool:
    certificate = run.of.contraction
    layers, stack = certificate.evidence.parts, run.map
    if not isinstance(stack, Cascade) or len(layers) != len(stack.layers):
        return False
    parts = layer_parts(stack, certificate.domain)
    return parts is not None and layer_gains(stack, [c.norm for c in layers], parts) is not None


def _two_layers(run: Run) -> bool:

    domain = run.of.contraction.domain
    if domain is not None and not holds_on(run.map, domain):
        return False
    rates = layer_rates(run.map, domain)
    return rates is not None and len(rates.rates) == 2


def _learns(run: Run) -> bool:
    learning = run.once(learning_of)
    return learning is not None and learning.pair is not None


def _smooth(run: Run) -> bool:
    learning = run.once(learning_of)
    return learning is not None and learning.pair is not None and learning.pair.smooth


def _clips(run: Run) -> bool:
    """Return whether a projection does not stretch the distances that a run can show."""
    learning = run.once(learning_of)
    return learning is not None and learning.nonexpansive


def _is_growing_system(run: Run) -> bool:
    training, form = run.of.training, run.map.affine()
    return (
        training is not None
        and run.map.form_names is not None
        and training.trained == run.map.form_names[:1]
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


#: How each assumption is established for a run.
ESTABLISHED: dict[Assumption, Callable[[Run], bool]] = {
    CONTRACTIVE: lambda run: (
        run.of.contraction.iterate == 1 and run.within_domain and not run.contradicted
    ),
    ITERATE_CONTRACTIVE: lambda run: run.within_domain and not run.contradicted,
    STEP_LIPSCHITZ: lambda run: math.isfinite(run.growth),
    PRODUCTS_BOUNDED: lambda run: run.within_domain and run.products_bounded,
    ZERO_START: lambda run: not np.any(run.of.start) and not np.any(run.of.restart),
    ZERO_RESTART: lambda run: not np.any(run.of.restart),
    SAME_INPUTS: lambda run: True,  # noqa: ARG005  (a run is simulated that way)
    DRIVE_BOUNDED: lambda run: math.isfinite(run.drive),
    STEPS_ERR: lambda run: True,  # noqa: ARG005  (how far they err is measured)
    INPUT_LIPSCHITZ: lambda run: math.isfinite(run.input_gain),
    OUTPUT_LIPSCHITZ: lambda run: math.isfinite(run.output_lipschitz),
    AFFINE_FORM: lambda run: run.map.affine() is not None,
    MONOTONE_NORM: lambda run: (
        run.norm.monotone
        or ((form := run.map.affine()) is not None and form.rho.slope[0] == form.rho.slope[1])
    ),
    WEIGHTED_MAXIMUM: lambda run: isinstance(run.norm, WeightedLinf),
    TERMS_BOUNDED: lambda run: run.map.terms(run.of.contraction.domain) is not None,
    WEIGHTED_EUCLIDEAN: lambda run: isinstance(run.norm, WeightedL2) and run.norm.monotone,
    FORM_BOUNDED: lambda run: terms_of(run) is not None,
    MAJORISED: lambda run: run.map.comparison(run.of.contraction.domain) is not None,
    IN_DOMAIN: lambda run: run.within_domain,
    LEAKY: lambda run: isinstance(run.map, EchoStateNetwork) and run.map.one_leak is not None,
    INNER_LIPSCHITZ: lambda run: inner_rate(run) is not None,
    LSTM_CELL: lambda run: isinstance(run.map, LSTM),
    GRU_CELL: lambda run: isinstance(run.map, GRU),
    MAXIMUM_NORM: lambda run: isinstance(run.norm, Linf),
    TWO_LAYERS: lambda run: run.within_domain and _two_layers(run),
    LAYERED: _layered,
    BLOCK_MAXIMUM: lambda run: isinstance(run.norm, BlockMax),
    INCREMENTAL_LMI: lambda run: _incremental_lmi_holds(run),
    IN_SECTORS: lambda run: run.map.sectors(run.of.contraction.domain) is not None,
    SECTOR_LMI: _sectors_hold,
    TWO_CONTRACTIONS: lambda run: (
        run.of.partner is not None
        and run.of.partner_contraction is not None
        and run.of.contraction.shares_domain(run.of.partner_contraction)
        and run.of.partner_contraction.iterate == 1
        and run.of.contraction.iterate == 1
        and run.within_domain
        and not run.contradicted
        and not run.partner_contradicted
    ),
    SCALAR_LINEAR: lambda run: (
        run.map.state_dim == 1
        and run.map.input_dim == 1
        and (form := run.map.affine()) is not None
        and form.rho.name == "identity"
        and form.W[0, 0] == run.lam
        and form.b[0] == 0
        and run.of.head.C.shape == (1, 1)
    ),
    NEAREST_POINT: lambda run: run.map.affine() is not None,
    # a run is about a ball of matrices in its norm
    CONVEX_SET: lambda run: run.map.affine() is not None,
    HALF_SPACE: lambda run: run.map.affine() is not None,
    BOUNDED_PRODUCT: lambda run: run.map.affine() is not None,
    CONTRACTIVE_SET: _learns,
    WEIGHT_LIPSCHITZ: _learns,
    SMOOTH_MAP: _smooth,
    LOSS_LIPSCHITZ: _learns,
    LOSS_SMOOTH: _learns,
    SAME_START: lambda run: True,  # noqa: ARG005  (they are simulated that way)
    GRADIENT_MISMATCH: _learns,
    TWIN_DESCENTS: _learns,
    NONEXPANSIVE: _clips,
    SCALAR_GROWTH: _is_growing_system,
    STATIONARY: is_source,
    SHARED_INFORMATION: is_source,
    BIRKHOFF: forgets,
}


def missing(theorem: Theorem, run: Run) -> Iterator[Assumption]:
    """Yield the assumptions of a theorem that are not established for a run."""
    return (a for a in theorem.assumes if not ESTABLISHED[a](run))
