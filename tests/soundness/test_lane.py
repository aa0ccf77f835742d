"""Every enclosure and bound against 300 bits: a sample here, a million in the slow lane.

A check draws a case (any map, any activation, boxes anywhere, numbers of any size) and compares all
that is claimed of it.  What must be compared follows from the code: a map, a norm or a public
function that joins one of the modules below without a check is named by a test.
"""

from __future__ import annotations

import importlib
import inspect
from typing import Any

import numpy as np
import of_answers
import of_arithmetic
import of_learning
import of_maps
import of_reached
import of_sectors
import of_sources
import pytest
from check import Check
from definitions import bits
from draws import MAKERS, NORMS
from tally import FalseClaimError, Tally

import theory.maps
from theory import CallableMap, Map
from theory.norms import Norm

CHECKS: tuple[Check, ...] = (
    *of_arithmetic.CHECKS,
    *of_maps.CHECKS,
    *of_answers.CHECKS,
    *of_sources.CHECKS,
    *of_reached.CHECKS,
    *of_learning.CHECKS,
    *of_sectors.CHECKS,
)

#: Precision of the exact numbers, in bits.
BITS = 300

#: Cases of a check of weight 1: in the sample, and in a block of the slow lane.
SAMPLE, BLOCK = 40, 800

#: Blocks of the slow lane; together more than 10**6 comparisons.
BLOCKS = 4


def compared(check: Check, cases: int, first: int = 0) -> Tally:
    """Run a check on so many cases, numbered from `first`."""
    tally = Tally()
    for number in range(first, first + max(1, round(cases * check.weight))):
        # the seed names the case: a false claim is found again by its number
        rng = np.random.default_rng([number, *check.name.encode()])
        # numbers at the ends of the range overflow where that is an answer
        with bits(BITS), np.errstate(all="ignore"):
            try:
                check.run(rng, tally)
            except FalseClaimError as error:
                raise FalseClaimError(f"{check.name}, case {number}: {error}") from None
    return tally


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
def test_no_claim_of_a_sample_is_false(check: Check) -> None:
    if check.needs is not None:
        pytest.importorskip(check.needs, reason=f"{check.needs} is not installed")
    compared(check, SAMPLE)


@pytest.mark.slow
@pytest.mark.parametrize("block", range(BLOCKS))
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
def test_no_claim_is_false(check: Check, block: int, record_property: Any) -> None:
    if check.needs is not None:
        pytest.importorskip(check.needs, reason=f"{check.needs} is not installed")
    tally = compared(check, BLOCK, first=1000 + block * BLOCK)
    record_property("comparisons", tally.total)
    assert tally.total > 0


# what must be compared --------------------------------------------------------------------------

#: Whose public functions enclose, bound or prove.
MODULES = (
    "arithmetic.rounded", "arithmetic.rounding", "arithmetic.intervals", "arithmetic.rigor",
    "arithmetic.gates", "arithmetic.gram", "arithmetic.sums", "arithmetic.bands",
    "arithmetic.zonotopes", "arithmetic.relaxations", "maps.reached", "maps.balls", "maps.lengths",
    "norms.norm", "norms.norms", "norms.blocks", "norms.products",
    "certify.ascent", "certify.jsr", "certify.judge",
    "certify.refute", "certify.orbits", "certify.places", "certify.refutation_file",
    "certify.layers", "norms.radius", "certify.enclose", "norms.enclosed", "certify.gated",
    "certify.switched",
    "memory.attention",
    "memory.windows", "memory.products", "memory.along", "memory.normalised",
    "memory.entrywise", "memory.moves", "memory.layers", "memory.tails", "memory.worst_case",
    "memory.reach",
    "memory.walk", "memory.metrics", "memory.critical", "memory.deployed", "arithmetic.formats",
    "maps.invariance", "certify.found", "certify.interface", "certify.methods",
    "certify.certificate_file", "certify.recheck", "memory.context", "memory.prices",
    "memory.exact", "memory.kernel", "memory.linear", "memory.one_state", "memory.sums",
    "memory.perturbed",
    "certify.iterates", "certify.growth", "memory.iterates",
    "measure.effective_memory", "measure.context_value",
    "learning.constants.affine", "learning.constants.gated",
    "learning.constants.interface", "learning.constants.lower", "learning.constants.values",
    "learning.path", "learning.tangents", "learning.tube",
    "sources.belief", "sources.hilbert", "sources.information", "theorems.sectors",
    "inputs", "projections.interface", "projections.balls", "projections.pairs",
    "projections.lyapunov_path", "projections.nearest_stable", "projections.schur",
    "projections.spectrum_lower", "projections.stable_pairs",
)  # fmt: skip

#: Public functions of these modules that claim nothing a number could contradict, and why.
NOT_COMPARED = {
    "arithmetic.formats.arithmetic": "the facts of a format",
    "arithmetic.sums.sum_raised": "the last part of sums_up, which is compared",
    "arithmetic.formats.sum_units": "the factor of the sums in Rounded, which are compared",
    "memory.critical.critical_radius": "tries reach_tube, which is compared",
    "memory.critical.visited_ranges": "a scale, of which any will do",
    "memory.deployed.step_error_upper": "other formats: compared with NumPy's and PyTorch's",
    "memory.deployed.deployed_context": "a formula of step_error_upper; simulated in its tests",
    "arithmetic.rounding.scaled_to_one": "exact scaling",
    "arithmetic.rounding.formula_slack": "a budget beside a verdict; checked in tests of verdicts",
    "arithmetic.rounding.drift": "a budget beside a verdict; checked in tests of verdicts",
    "arithmetic.rounding.reverse_mode_error": "a verdict's budget; checked in tests of gradients",
    "arithmetic.rounding.inner_product_error": "the error of affine_image, which is compared",
    "arithmetic.rigor.all_finite": "looks for what is no number",
    "arithmetic.rigor.moderate_size": "looks for what is too large",
    "norms.norms.same_norm": "compares descriptions",
    "sources.hilbert.hilbert_distance": "as computed; nothing is claimed",
    "sources.information.sampled_values": "estimates; nothing is claimed",
    "maps.invariance.check_invariant": "calls is_invariant",
    "inputs.ambiguous": "an error",
    "inputs.as_inputs": "checks an argument",
    "inputs.box_of": "checks an argument",
    "inputs.entry_bound": "the largest of Inputs.reach",
    "inputs.read_inputs": "reads a text",
    "norms.enclosed.product_error": "the error of power and lipschitz_of_steps, which are compared",
    "norms.products.geometric_up": "product_up, again and again",
    "norms.products.vertices": "lists matrices",
    "norms.products.slope_vertices": "lists slopes",
    "norms.norm.check_norm": "refuses what is not a norm; no number",
    "norms.norm.power_iteration": "a candidate",
    "norms.norm.best_unit_image": "the engine of matrix_lower, which is compared",
    "norms.radius.balanced": "a change of coordinates, with the error of spectral_radius_lower",
    "certify.enclose.enclose": "the engine of joint_spectral_radius, which is compared",
    "certify.enclose.form_vertices": "lists slopes",
    "certify.enclose.grow_tree": "the engine of joint_spectral_radius, which is compared",
    "certify.switched.enclose_set": "the engine of joint_spectral_radius, which is compared",
    "certify.switched.matrices_of": "checks an argument",
    "certify.methods.left_out": "names",
    "norms.radius.leading_pair": "a candidate",
    "norms.enclosed.in_column_units": "exact scaling, with a budget for what underflows",
    "norms.enclosed.similar_pairs": "shared inside its package",
    "certify.gated.by_comparison": "a method of contraction",
    "certify.gated.by_gate_norms": "a method of contraction",
    "certify.gated.by_transition": "a method of contraction",
    "certify.gated.by_delta_iss": "a method of contraction",
    "certify.gated.gate_bound_matrix": "the matrix behind by_delta_iss",
    "certify.gated.delta_iss_holds": "in doubles, for comparison only",
    "certify.methods.check_method_fits": "refuses a question",
    "certify.methods.fitting_methods": "names",
    "certify.methods.may_be_better_everywhere": "a guess that saves a search",
    "inputs.describe_states": "a text",
    "certify.methods.run_methods": "calls the methods of contraction",
    "certify.interface.domain_of": "calls invariant_domain",
    "certify.interface.narrowing": "chooses",
    "certify.interface.reached_at": "calls reached_domain",
    "certify.found.find_certificates": "calls the methods of contraction",
    "certify.interface.contractions": "calls the methods of contraction",
    "certify.recheck.hash_array": "names an array",
    "certify.certificate_file.save_certificate": "writes what certificate_to_dict returns",
    "certify.certificate_file.load_certificate": "reads what certificate_from_dict takes",
    "memory.attention.attention_context": "inverts attention_gap, which is compared",
    "memory.context.error_curve": "the errors of required_context at many lengths",
    "certify.growth.by_growth": "certified by growth_upper, which is compared",
    "certify.iterates.least_iterate": "a method of contraction",
    "memory.iterates.context_length_iterate": "inverts a theorem; in the tests of theorems",
    "measure.effective_memory.upper_limit": "statistics, against scipy",
    "measure.effective_memory.allowed_exceedances": "statistics, from upper_limit",
    "measure.effective_memory.checked": "checks arguments",
    "measure.effective_memory.check_level": "checks an argument",
    "measure.effective_memory.each": "reads arguments",
    "measure.effective_memory.lengths_of": "reads arguments",
    "measure.effective_memory.output_of": "reads arguments",
    "measure.effective_memory.sequences_needed": "statistics, against the formula",
    "measure.context_value.context_value": "statistics, on sources that are known, in its tests",
    "measure.context_value.order_information": "statistics, likewise",
    "measure.context_value.blocks_needed": "statistics, likewise",
    "measure.effective_memory.certified_errors": "the bound of a theorem for a given certificate",
    "learning.constants.values.trained_names": "names",
    "learning.tangents.above": "upper_after, which is compared, for a fixed number of operations",
    "learning.constants.lower.constants_lower": "a search in doubles, for judging looseness",
    "projections.interface.check_asked_rate": "checks an argument",
    "projections.interface.check_metric": "checks an argument",
    "projections.balls.as_weights": "checks an argument",
    "projections.balls.target": "checks an argument",
    "projections.balls.clip_singular_values": "a candidate for spectral_ball",
    "projections.balls.middle_exponent": "exact scaling",
    "projections.balls.centered": "exact scaling",
    "projections.pairs.pair_distance_squares": "the engine of scaled_rows_lower",
    "projections.pairs.scaled_sums_lower": "the engine of the bounds of gated cells",
    "projections.stable_pairs.stable_pairs": "candidates",
    "projections.nearest_stable.nearest_stable": "candidates",
    "projections.lyapunov_path.provably_stable": "candidates, accepted by rigor",
    "projections.schur.schur": "called by project",
    "certify.jsr.question": "which states and inputs are meant",
    "certify.orbits.box_around": "a box",
    "certify.orbits.cycles_under": "candidates of verified_cycle",
    "certify.orbits.enclosed_slopes": "reads Map.slope_range, which is compared",
    "certify.places.best_product": "a candidate",
    "certify.places.places": "candidates",
    "certify.refutation_file.refutation_from_dict": "reads what refutation_to_dict wrote",
    "certify.refutation_file.refutation_to_dict": "writes a proof, which why_not_refuted checks",
    "certify.certificate_file.save_refutation": "writes what why_not_refuted accepted",
    "certify.certificate_file.answer_to_dict": "writes what why_not_refuted accepted",
    "certify.layers.by_layers": "a method of contraction",
    "certify.layers.certify_layers": "the engine of that method",
    "certify.layers.layer_gains": "of that method's certificates, which are compared",
    "certify.layers.layer_parts": "calls Cascade.layer_domains",
    "norms.radius.root_down": "the root of spectral_radius_lower, which is compared",
    "certify.ascent.search_products": "shared inside its package",
    "maps.balls.radii_in": "shared inside its package",
    "maps.lengths.lengths_up": "behind group_comparison",
    "maps.reached.kept_domain": "ball_domain of every layer",
    "memory.moves.context_by_moves": "shared inside its package",
    "memory.moves.errors_by_moves": "shared inside its package",
    "memory.moves.least_context": "shared inside its package",
    "memory.moves.moves_of": "shared inside its package",
    "certify.methods.by_iterate": "shared inside its package",
    "certify.methods.by_norm": "shared inside its package",
    "certify.methods.check_effort": "shared inside its package",
    "certify.recheck.activation_of": "shared inside its package",
    "certify.recheck.hashes_of": "shared inside its package",
    "certify.recheck.read_claim": "shared inside its package",
    "learning.constants.affine.affine_constants": "shared inside its package",
    "learning.constants.gated.gated_constants": "shared inside its package",
    "memory.along.tube_context": "the bounds of tube_gaps, which are compared, at several lengths",
    "memory.windows.state_radius": "the drive and transition_rate, which are compared",
    "memory.windows.input_context": "the same formula, for the least k",
    "memory.products.core_of": "which map it is, and the function before it",
    "memory.products.seen": "the enclosure by Function.image, which is compared, row by row",
    "memory.products.entrywise": "the engine of window_gaps, which is compared",
    "memory.products.turned": "the engine of window_gaps, which is compared",
    "memory.products.norm_lower": "the engine of window_gaps, which is compared",
    "memory.products.norm_upper": "the engine of window_gaps, which is compared",
    "memory.entrywise.check_stays": "shared inside its package",
    "memory.entrywise.past_of": "shared inside its package",
    "memory.prices.error_after": "the bound of a theorem for given constants",
    "memory.prices.supply": "chooses",
    "memory.context.size_of_box": "the size of what invariant_domain returns",
    "memory.exact.exact_errors_of": "the engine of required_context, which is compared",
    "memory.kernel.in_units": "exact scaling",
    "memory.linear.doubles": "rounded once, by Python's division",
    "memory.linear.longest": "counts bits",
    "memory.linear.contraction_of": "calls by_lyapunov and by_matrix_norm",
    "memory.linear.linear_form": "the matrices of worst_case_error, which is compared",
    "memory.linear.push_of": "the inputs of worst_case_error, which is compared",
    "memory.linear.stack_contraction": "shared inside its package",
    "memory.perturbed.perturbed": "shared inside its package",
    "memory.sums.block_sums": "shared inside its package",
    "memory.sums.lower_of": "shared inside its package",
    "memory.sums.outward": "shared inside its package",
    "memory.sums.tail_from": "the engine of worst_case_error, which is compared",
    "memory.sums.upper_of": "shared inside its package",
    "memory.prices.price_all": "shared inside its package",
    "memory.prices.price_of": "shared inside its package",
    "norms.enclosed.factor_pairs": "shared inside its package",
    "norms.enclosed.multiply_pairs": "shared inside its package",
    "norms.enclosed.norms_upper": "shared inside its package",
    "norms.enclosed.power_pair": "shared inside its package",
    "norms.enclosed.roots_up": "shared inside its package",
    "norms.enclosed.scaled_pair": "shared inside its package",
    "norms.enclosed.scaled_power": "shared inside its package",
    "projections.nearest_stable.descend": "shared inside its package",
    "projections.nearest_stable.nearest_form": "shared inside its package",
    "projections.nearest_stable.schur_factor": "shared inside its package",
}

#: Methods of a map that are definitions, or are compared with the definition elsewhere.
DEFINITIONS = {
    "state_dim", "input_dim", "parameters", "step", "jacobian_state", "jacobian_input", "affine",
    "input_terms", "advance", "step_error", "rounded_step", "output_map", "with_parameters",
    "simulate", "offset", "candidate_box", "rest_reach", "form_names", "recurrent_name",
}  # fmt: skip


def test_every_public_function_is_compared() -> None:
    covered = {function for check in CHECKS for function in check.covers}
    missing, known = [], set()
    for name in MODULES:
        module = importlib.import_module(f"theory.{name}")
        for key, value in vars(module).items():
            own = inspect.isfunction(value) and value.__module__ == module.__name__
            if not own or key.startswith("_"):
                continue
            known.add(f"{name}.{key}")
            if value not in covered and f"{name}.{key}" not in NOT_COMPARED:
                missing.append(f"{name}.{key}")
    assert not missing, f"needed a check in tests/soundness, or a reason in NOT_COMPARED: {missing}"
    assert NOT_COMPARED.keys() <= known, f"no such functions: {NOT_COMPARED.keys() - known}"


def test_every_method_of_a_map_is_compared() -> None:
    covered = {function for check in CHECKS for function in check.covers}
    methods = {name for name in vars(Map) if not name.startswith("_")}
    missing = {name for name in methods - DEFINITIONS if getattr(Map, name) not in covered}
    assert not missing, f"needed a check in tests/soundness/of_maps.py: {sorted(missing)}"


def test_every_map_and_every_norm_is_drawn() -> None:
    maps = {value for value in vars(theory.maps).values() if inspect.isclass(value)}
    maps = {kind for kind in maps if issubclass(kind, Map) and not inspect.isabstract(kind)}
    maps -= {CallableMap}
    missing = {kind.__name__ for kind in maps - MAKERS.keys()}
    assert not missing, f"needed an entry in MAKERS of tests/soundness/draws.py: {sorted(missing)}"
    norms = {kind for kind in all_kinds(Norm) if not kind.__name__.startswith("_")}
    missing = {kind.__name__ for kind in norms - NORMS.keys()}
    assert not missing, f"needed an entry in NORMS of tests/soundness/draws.py: {sorted(missing)}"


def all_kinds(kind: type) -> set[type]:
    below = set(kind.__subclasses__())
    return below.union(*map(all_kinds, below))
