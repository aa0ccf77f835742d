r"""Output gap of the k-step counterpart.

Statement   |y_t - y_t^k| <= lipschitz * drive * lam**k / (1 - lam)
Assumes     contractive; |step(0, x_t)| <= drive for all t; h_0 = 0, restart from 0; y = f(h) with f
            lipschitz-Lipschitz
Kind        sharp, attained in the limit of long histories by h -> lam*h + drive, y = lipschitz*h
Source      Miller and Hardt (ICLR 2019), Proposition 3, there with drive = L_x B_x
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from theory.certificates import Contraction, check_one_step, drive_size
from theory.errors import check_count, check_nonnegative
from theory.inputs import Drive
from theory.rounding import evaluate
from theory.theorem import Kind, NearMiss, Observation, Theorem
from theory.theorems.assumptions import CONTRACTIVE, DRIVE_BOUNDED, OUTPUT_LIPSCHITZ, ZERO_START
from theory.typing import Array, Scalar

if TYPE_CHECKING:
    from theory.measure import Run


def formula(lam: Scalar, k: Scalar, drive: Scalar, lipschitz: Scalar) -> Scalar:
    """Return the right-hand side."""
    return lipschitz * drive * lam**k / (1 - lam)


def output_gap(c: Contraction, *, k: int, drive: float | Drive, lipschitz: float) -> float:
    """Bound the distance of the outputs of the recurrent model and its k-step counterpart.

    Parameters
    ----------
    c : Contraction
    k : int
        Number of inputs that the counterpart sees.
    drive : float or Drive
        Bound of |step(0, x_t)| in the norm of `c`, see `Map.drive`.
    lipschitz : float
        L_f, from the norm of `c` to the norm of the outputs, see `LinearHead.lipschitz`.

    Returns
    -------
    float
        An upper bound, rounded outward.

    Raises
    ------
    ValueError
        If `c` is not a one-step contraction, k is not a count, or a size is negative.

    Examples
    --------
    >>> output_gap(Contraction.assumed(0.5), k=3, drive=1.0, lipschitz=4.0)
    1.0
    """
    check_one_step(c)
    check_count(k=k)
    check_nonnegative(lipschitz=lipschitz)
    size = drive_size(c, drive)
    return evaluate(formula, lam=c.lam, k=int(k), drive=size, lipschitz=lipschitz)


def measured_output_gaps(run: Run, k: int) -> tuple[Array, Array]:
    """Return |y_t - y_t^k| for t = k+1 .. T, and the budgets."""
    import numpy as np

    from theory.rounding import inner_product_error
    from theory.truncation import truncate

    head, outputs = run.of.head, run.norm.companion
    short = truncate(run.map, k, restart=run.of.restart).states(run.of.inputs, run.of.start)[k:]
    long = run.states[1 + k :]
    times = run.times[1 + k :]
    measured = outputs.vector(head(long) - head(short))
    # both outputs err by an inner product of length n + 1, and inherit L_f times the states' drift
    size = np.abs(head.C) @ np.maximum(*np.abs([run.sizes[0], run.of.restart])) + np.abs(head.d)
    error = 2 * outputs.majorant(inner_product_error(size, head.C.shape[1] + 1))
    drifts = run.output_lipschitz * (run.drift(times) + run.drift(float(k)))
    return measured, drifts + error + outputs.vector_rounding(len(head.d)) * measured


def observe(run: Run) -> Observation:
    """Measure the output gap for a few k and all t > k."""
    import numpy as np

    lengths = np.unique(np.geomspace(1, max(run.of.k_max, 1), 6).astype(int))
    parts = [(k, *measured_output_gaps(run, int(k))) for k in [0, *lengths.tolist()]]
    return Observation(
        measured=np.concatenate([m for _, m, _ in parts]),
        budget=np.concatenate([b for _, _, b in parts]),
        arguments={
            "lam": run.lam,
            "k": np.concatenate([np.full(len(m), float(k)) for k, m, _ in parts]),
            "drive": run.drive,
            "lipschitz": run.output_lipschitz,
        },
    )


OUTPUT_GAP = Theorem(
    name="output_gap",
    title="output gap",
    quantity=r"\|y_t - y_t^k\|",
    formula=formula,
    kind=Kind.SHARP,
    assumes=(CONTRACTIVE, DRIVE_BOUNDED, ZERO_START, OUTPUT_LIPSCHITZ),
    source="Miller and Hardt (ICLR 2019), Proposition 3 (there with drive = L_x B_x)",
    observe=observe,
    near_misses=(
        NearMiss(
            name="Lipschitz constant of the output left out",
            formula=lambda lam, k, drive, lipschitz: drive * lam**k / (1 - lam),  # noqa: ARG005
        ),
        NearMiss(
            name="one power of lam too many",
            formula=lambda lam, k, drive, lipschitz: lipschitz * drive * lam ** (k + 1) / (1 - lam),
        ),
        NearMiss(name="any start", drops=ZERO_START),
    ),
)
