"""Fixtures of the tests of commands."""

import sys

import pytest

from theory.certify import methods
from theory.maps import invariance


@pytest.fixture
def searches(monkeypatch):
    """Count the searches: of a method everywhere or on a box, and "box" for a search of a box."""
    made = []

    def counted(name, method):
        def search(recurrent, domain=None, *rest, **known):
            made.append((name, "everywhere" if domain is None else "on the box"))
            return method(recurrent, domain, *rest, **known)

        return search

    for name, method in methods.METHODS.items():
        monkeypatch.setitem(methods.METHODS, name, counted(name, method))
    for quick in methods._QUICK.values():
        for name, method in quick.items():
            monkeypatch.setitem(quick, name, counted(name, method))
    find = invariance.invariant_domain

    def box(*arguments, **named):
        made.append("box")
        return find(*arguments, **named)

    for module in [m for name, m in sys.modules.items() if name.startswith("theory")]:
        if getattr(module, "invariant_domain", None) is find:
            monkeypatch.setattr(module, "invariant_domain", box)
    return made
