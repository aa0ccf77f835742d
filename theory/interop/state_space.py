"""Maps from linear systems, as SciPy and python-control hold them; neither is needed.

Main name: `from_state_space`.
"""

from __future__ import annotations

from typing import Any

from theory.errors import as_matrix
from theory.maps.head import LinearHead
from theory.maps.linear import LinearMap


def from_state_space(system: Any, *, unused: str = "") -> tuple[LinearMap, LinearHead]:
    r"""Return the map and the head of a linear system in discrete time.

    Such a system is s_{t+1} = A s_t + B u_t, y_t = C s_t + D u_t: its state at a time has not yet
    seen the input of that time.  Ours has, h_t = A h_{t-1} + B x_t, so with h_t = s_{t+1} it is the
    same system, and the head gives C h_t = y_{t+1} - D u_{t+1}.  A context of k inputs for the
    output of the head therefore is one of k + 1 for y.

    Parameters
    ----------
    system
        Anything with A (n, n), B (n, m), C (p, n), D (p, m) and a time step dt that is not 0 or
        None, such as SciPy's ``StateSpace`` with one, or that of python-control.
    unused : str
        "D" allows a D that is not zero to be left out: it remembers nothing, so that errors of a
        truncation are those without it.

    Returns
    -------
    LinearMap, LinearHead

    Raises
    ------
    ValueError
        If a matrix is missing, does not fit or is not finite, the system is one in continuous time,
        or D is not zero and not unused.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> system = SimpleNamespace(A=[[0.5]], B=[[1.0]], C=[[2.0]], D=[[0.0]], dt=0.1)
    >>> recurrent, head = from_state_space(system)
    >>> recurrent, head.C.tolist()
    (LinearMap(n=1, m=1), [[2.0]])
    """
    if unused not in {"", "D"}:
        raise ValueError(f"unused={unused!r}, needed 'D' or nothing")
    missing = [name for name in "ABCD" if getattr(system, name, None) is None]
    if missing:
        raise ValueError(
            f"received {system!r} without {', '.join(missing)}, needed a system with A, B, C, D "
            "and dt; of another form, convert it first (to_ss() in SciPy)"
        )
    step = getattr(system, "dt", None)
    if step is None or (step is not True and not step > 0):
        raise ValueError(
            f"the system has dt={step!r}, needed a time step: it is one in continuous time, or "
            "does not say; take its discretisation (system.to_discrete(dt) in SciPy, "
            "system.sample(dt) in python-control), whose memory is that of the samples"
        )
    A, B, C = (as_matrix(name, getattr(system, name)) for name in "ABC")
    D = as_matrix("D", system.D)
    if len(C) != len(D) or B.shape[1] != D.shape[1]:
        raise ValueError(f"D has shape {D.shape}, needed {(len(C), B.shape[1])}")
    if D.any() and unused != "D":
        raise ValueError(
            "D, from the input straight to the output, is no part of a map or of its head; it "
            "remembers nothing, so that the errors of a truncation are those without it: allow "
            "that with unused='D'"
        )
    if C.shape[1] != len(A):
        raise ValueError(f"C has shape {C.shape}, needed (p, {len(A)})")
    return LinearMap(A, B), LinearHead(C)
