r"""A map -> its contraction or None, by trying the criteria that fit.

Main names: `contraction`, `contractions`, `METHODS`.
"""

from __future__ import annotations

from collections.abc import Callable

from theory.certificates import Contraction
from theory.maps.base import Map
from theory.norms import L1, L2, Linf, Norm
from theory.theorems.contractive_of_matrix_norm import contractive_of_matrix_norm
from theory.theorems.contractive_of_perron_weights import contractive_of_perron_weights

#: A method takes a map and answers with a contraction, or None if it does not fit or finds none.
Method = Callable[[Map], Contraction | None]


def _by_norm(norm: Norm) -> Method:
    def method(recurrent: Map) -> Contraction | None:
        form = recurrent.affine()
        return None if form is None else contractive_of_matrix_norm(form.W, form.rho, norm)

    return method


def _by_perron_weights(recurrent: Map) -> Contraction | None:
    form = recurrent.affine()
    return None if form is None else contractive_of_perron_weights(form.W, form.rho)


#: The methods by name, cheapest first.  A stronger criterion is one more line here.
METHODS: dict[str, Method] = {
    "row_sums": _by_norm(Linf()),
    "column_sums": _by_norm(L1()),
    "spectral": _by_norm(L2()),
    "perron": _by_perron_weights,
}


def contractions(recurrent: Map) -> dict[str, Contraction]:
    """Return every contraction that some method certifies, by the method's name.

    Parameters
    ----------
    recurrent : Map

    Returns
    -------
    dict
        Empty if no method does; that is not a proof that the map is not contractive.
    """
    found = {name: method(recurrent) for name, method in METHODS.items()}
    return {name: c for name, c in found.items() if c is not None}


def contraction(
    recurrent: Map, *, method: str = "auto", norm: Norm | None = None
) -> Contraction | None:
    r"""Look for a proof that a map is contractive.

    Parameters
    ----------
    recurrent : Map
    method : str
        ``"auto"`` tries all and returns the smallest certified factor (of equal ones, the one in
        an unweighted norm); or one of ``row_sums``, ``column_sums``, ``spectral``, ``perron``.
    norm : Norm, optional
        Ask for a contraction in exactly this norm instead.

    Returns
    -------
    Contraction or None
        None if no criterion applies, which is not a proof of the contrary.

    Raises
    ------
    ValueError
        If the method is unknown, or the norm is not one on the map's states.

    Examples
    --------
    >>> from theory import VanillaRNN
    >>> contraction(VanillaRNN([[0.5, 4.0], [0.01, 0.5]], [[1.0], [1.0]])).evidence.method
    'Perron weights'
    >>> contraction(VanillaRNN([[2.0]], [[1.0]])) is None
    True
    """
    if not isinstance(recurrent, Map):
        raise ValueError(f"received {recurrent!r}, needed a Map such as theory.VanillaRNN(W, U)")
    if method != "auto" and method not in METHODS:
        known = ", ".join(["auto", *METHODS])
        raise ValueError(f"method {method!r} is not known, needed one of: {known}")
    if norm is not None:
        if not isinstance(norm, Norm):
            raise ValueError(f"norm={norm!r}, needed a norm such as theory.L2()")
        norm.check_dim(recurrent.state_dim)
        return _by_norm(norm)(recurrent)
    if method == "auto":
        # of equal factors the first is kept, and unweighted norms come first
        return min(contractions(recurrent).values(), key=lambda c: c.lam, default=None)
    return METHODS[method](recurrent)
