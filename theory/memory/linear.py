r"""Maps that are linear, h <- A h + B x + b, single or stacked, and what their inputs can push.

Main names: `LinearForm`, `linear_form`, `contraction_of`, `Push`, `push_of`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from theory.arithmetic.activations import IDENTITY
from theory.arithmetic.rigor import frobenius_upper
from theory.arithmetic.rounding import UNIT
from theory.certificates import Contraction
from theory.certify.accept import by_matrix_norm
from theory.certify.lyapunov import by_lyapunov, lyapunov_at
from theory.inputs import Inputs
from theory.maps.base import Map
from theory.maps.cascade import Cascade
from theory.maps.form import Affine
from theory.memory.perturbed import perturbed
from theory.norms.norms import L2, Linf, Norm, WeightedL2, over
from theory.typing import Array


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class LinearForm:
    """A linear map h <- A h + B x + b, the matrices up to errors entry by entry."""

    A: Array  # A, (n, n)
    B: Array  # B, (n, m)
    b: Array  # b, (n,)
    errors: tuple[Array, Array, Array]  # of A, B and b, not negative
    integers: Integers  # A itself


def linear_form(recurrent: Map) -> LinearForm | None:
    """Return a map, or a stack of them, as one linear map; None if a layer is not linear.

    Raises
    ------
    ValueError
        If a product of the matrices of a stack is beyond the largest double.
    """
    exact = _exactly(recurrent)
    if exact is None:
        return None
    n = len(exact.Z)
    try:
        whole, wrong = exact.rounded()
    except OverflowError:
        raise ValueError(
            f"the matrices of the layers of {recurrent!r} multiply to more than the largest "
            "double; scale the weights"
        ) from None
    A, B, b = whole[:, :n], whole[:, n:-1], whole[:, -1]
    errors = wrong[:, :n], wrong[:, n:-1], wrong[:, -1]
    return LinearForm(A=A, B=B, b=b, errors=errors, integers=Integers(Z=exact.Z[:, :n], e=exact.e))


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Integers:
    """A matrix Z 2^e of integers: sums and products are exact."""

    Z: Any  # integers, (n, m), as objects
    e: int

    @classmethod
    def of(cls, A: Array) -> Integers:
        """Return a matrix of doubles."""
        pairs = [x.as_integer_ratio() for x in A.ravel().tolist()]
        # denominators are powers of two
        most = max((over for _, over in pairs), default=1)
        Z = np.empty(A.size, dtype=object)
        Z[:] = [number * (most // over) for number, over in pairs]
        return cls(Z=Z.reshape(A.shape), e=1 - most.bit_length())

    def cut(self, shift: int) -> tuple[Any, bool]:
        """Return the matrix times 2^shift in integers, and whether less than 1 each was cut."""
        shift += self.e
        if shift >= 0:
            return self.Z << shift, False
        return self.Z >> -shift, bool(np.any((self.Z & ((1 << -shift) - 1)) != 0))

    def __matmul__(self, other: Integers) -> Integers:
        return Integers(Z=self.Z @ other.Z, e=self.e + other.e)

    def __add__(self, other: Integers) -> Integers:
        e = min(self.e, other.e)
        return Integers(Z=(self.Z << (self.e - e)) + (other.Z << (other.e - e)), e=e)

    def rounded(self) -> tuple[Array, Array]:
        """Return doubles, and bounds of what each is off by."""
        over = 1 << max(-self.e, 0)
        flat = [(z << max(self.e, 0)) / over for z in self.Z.flat]
        A = np.array(flat, dtype=np.float64).reshape(self.Z.shape)
        again = [x.as_integer_ratio() for x in flat]
        off = [
            z * below << max(self.e, 0) != above * over
            for z, (above, below) in zip(self.Z.flat, again, strict=True)
        ]
        wrong = np.reshape(off, A.shape) * np.nextafter(UNIT * np.abs(A), np.inf)
        return A, np.asarray(wrong, dtype=np.float64)


def longest(Z: Any) -> int:
    """Return how many bits the largest of some integers has."""
    return int(max((abs(z) for z in Z.flat), default=0).bit_length())


def doubles(Z: Any, bits: int) -> Array:
    """Return integers over 2^bits, each rounded once."""
    unit = 1 << bits
    return np.array([z / unit for z in Z.flat], dtype=np.float64).reshape(Z.shape)


def _exactly(recurrent: Map) -> Integers | None:
    r"""Return [A B b] of a linear map, or of a stack of them.

    A layer sees the new state of the one below.  With y = C h + d between them, and h_1+ = M v for
    v = (h, x, 1) and the layers up to there,

        h_2+ = A_2 h_2 + B_2 (C M v + d) + b_2.
    """
    if not isinstance(recurrent, Cascade):
        form = recurrent.affine()
        if form is None or form.rho.slope != (1.0, 1.0):
            return None
        return Integers.of(np.column_stack([form.W, form.U, form.b]))
    n, m = recurrent.state_dim, recurrent.input_dim
    seen = Integers.of(np.eye(m, n + m + 1, n))
    made: list[Integers] = []
    for number, (layer, rows) in enumerate(zip(recurrent.layers, recurrent.slices, strict=True)):
        own = _exactly(layer)
        if own is None:
            return None
        k = layer.state_dim
        alone = np.zeros((k, n + m + 1), dtype=object)
        alone[:, rows], alone[:, -1] = own.Z[:, :k], own.Z[:, -1]
        made.append(Integers(Z=alone, e=own.e) + Integers(Z=own.Z[:, k:-1], e=own.e) @ seen)
        if number < len(recurrent.readouts):
            readout = recurrent.readouts[number]
            constant = np.zeros((len(readout.C), n + m + 1))
            constant[:, -1] = readout.d
            seen = Integers.of(readout.C) @ made[-1] + Integers.of(constant)
    e = min(one.e for one in made)
    return Integers(Z=np.vstack([one.Z << (one.e - e) for one in made]), e=e)


def contraction_of(form: LinearForm, norm: Norm | None = None) -> Contraction | None:
    """Return a contraction of h <- A h, A as it is in the form, in a norm that converts cheaply.

    Parameters
    ----------
    form : LinearForm
    norm : Norm, optional
        The norm; by default a plain one or one of about half the spectral gap, in which little is
        lost to conversion and rounding.
    """
    linear = Affine(W=form.A, U=form.B, b=form.b, rho=IDENTITY)
    if norm is not None:
        return by_matrix_norm(linear, norm)
    n = len(form.A)
    sharpest = by_lyapunov(linear)
    middle = None if sharpest is None else lyapunov_at(linear, 0.5 * (1.0 + sharpest.lam))
    norms = (L2(), Linf(), _of_eigenvectors(form.A))
    tried = (*(by_matrix_norm(linear, one) for one in norms if one), middle or sharpest)
    found = [c for c in tried if c is not None]
    # beyond half the gap a smaller rate is worth less than a norm that converts cheaply
    enough = max(middle.lam if middle else 0.0, min((c.lam for c in found), default=0.0))
    return min(
        (c for c in found if c.lam <= enough),
        key=lambda c: over(c.norm, L2(), n=n) * over(L2(), c.norm, n=n),
        default=None,
    )


def stack_contraction(form: LinearForm) -> Contraction | None:
    """Return a contraction of the linear map itself, whose A the form may have rounded."""
    found = contraction_of(form)
    if found is None or not np.any(form.errors[0]):
        return found
    return perturbed(found, float(frobenius_upper(form.errors[0])), len(form.A))


def _of_eigenvectors(A: Array) -> Norm | None:
    """Return the norm in which eigenvectors are orthonormal: a diagonalisable A has its radius."""
    try:
        inverse = np.linalg.inv(np.linalg.eig(A)[1])
    except np.linalg.LinAlgError:
        return None
    with np.errstate(all="ignore"):
        P = np.real(inverse.conj().T @ inverse)
        size = float(np.max(np.abs(P)))
    if not 0 < size < math.inf:
        return None
    try:
        return WeightedL2((P + P.T) * 2.0 ** -math.frexp(size)[1])
    except ValueError:  # too ill-conditioned to be one
        return None


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Push:
    r"""What a set of inputs can do along a functional: bounds of max K . x.

    For a box around c with radii r it is K . c + |K| . r, for a ball of radius R the dual norm
    R |K|_q; of several that hold the set the least one bounds.
    """

    centre: Array  # c, (m,); the box is within c - radius and c + radius
    radius: Array  # (m,), so large that the box of inputs lies inside
    within: Array  # (m,), so small that it lies in the box of inputs
    balls: tuple[tuple[float, float], ...]  # (q, R) of balls that hold the set, q of the dual norm
    attained: bool  # whether the box, or else the only ball, is all of the set
    boxed: bool  # whether the box bounds

    @property
    def symmetric(self) -> bool:
        """Return whether it is the same for K and -K."""
        return not np.any(self.centre)


def push_of(inputs: Inputs, m: int) -> Push | None:
    """Return what bounded inputs can do; None if they are not bounded."""
    low, high = inputs.ends(m)
    if not (np.isfinite(low).all() and np.isfinite(high).all()):
        return None
    plain = {1.0: np.inf, 2.0: 2.0, np.inf: 1.0}
    balls = tuple((plain[norm.p], radius) for norm, radius in inputs.balls if norm.plain)
    # halves are exact but for the smallest doubles, their sums and differences are rounded once
    point = low == high
    centre = np.where(point, low, low / 2 + high / 2)
    apart = np.maximum(high - centre, centre - low), np.minimum(high - centre, centre - low)
    exact = low == -high
    radius = np.where(exact, high, np.where(point, 0.0, np.nextafter(apart[0], np.inf)))
    within = np.where(exact, high, np.maximum(np.nextafter(apart[1], -np.inf), 0.0))
    known = inputs.rows is None and len(inputs.balls) == len(balls)
    # a ball that is all of the set: its box is the one around it
    full = known and len(balls) == 1
    full = full and bool(np.all(exact & (high == balls[0][1])))
    boxed = not full or balls[0][0] == 1.0
    return Push(
        centre=np.where(exact, 0.0, centre),
        radius=radius,
        within=within,
        balls=() if boxed and full else balls,
        attained=inputs.is_box or full,
        boxed=boxed,
    )
