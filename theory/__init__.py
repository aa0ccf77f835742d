r"""How much memory does a recurrent model really have, and when can k steps replace it?

Everything is a station on one line:

    parameters -> map -> contraction -> bound (eps <-> k) -> k-step counterpart -> measured gap
    -> verdict -> report

The names of this page are the line itself: the maps, the norms, `Inputs`, `Domain`, `Contraction`
and `LinearHead`, then one function a station.  Everything else is a name of a package, which is
loaded when it is asked for, as in ``theory.theorems.state_gap``:

    theory.maps         the maps, their activations, and the forms that criteria know
    theory.sources      where data come from: hidden Markov models, their filters and entropies
    theory.norms        vector norms with the matrix norms they induce
    theory.theorems     the bounds and criteria, as typed functions and as values
    theory.certify      map -> certificate, or None, or a refutation; certificate files
    theory.memory       eps <-> k
    theory.projections  the nearest stable map
    theory.interop      maps from other programs' weights
    theory.learning     losses, gradients, their constants, descent, twins
    theory.measure      the left-hand sides of the bounds
    theory.trials       how every theorem is attacked; verdicts
    theory.testing      checks for your own test suite
    theory.strategies   Hypothesis strategies for it
    theory.torch        stable PyTorch modules during training
    theory.errors       the exceptions that are not built in

Symbols used throughout (the only table of them):

    h, g      states, (n,)                      lam     contraction factor, 0 <= lam < 1
    x, y      inputs, (m,)                      drive   C, bound of |step(0, x)|
    W, U, b   recurrent, input weights, bias    gain    L_x, Lipschitz constant in the input
    t, T      time, number of inputs            k       inputs that the truncated model sees
    h^k       state of the k-step counterpart   eps     allowed error of the output
    v, P      weights of a norm                 lipschitz   L_f, of the output
    w, v      parameter vectors                 weight_gain L_w, Lipschitz constant of step in w
    N         gradient steps                    loss_gain   L_p, Lipschitz constant of the loss
    alpha_i   step sizes                        beta_hh ..  of the derivatives of step; beta_p, beta

Importing this package loads neither numba, cvxpy, sympy, hypothesis, matplotlib nor torch.
"""

import sys as _sys
from importlib import import_module as _import_module
from typing import TYPE_CHECKING

from theory.certificates import Contraction
from theory.certify.interface import contraction
from theory.certify.refute import refute
from theory.domain import Domain
from theory.inputs import Inputs
from theory.maps.attention import LinearAttention
from theory.maps.base import Map
from theory.maps.block import Block
from theory.maps.callable import CallableMap
from theory.maps.cascade import Cascade
from theory.maps.delta import DeltaRule
from theory.maps.diagonal import DiagonalSSM
from theory.maps.esn import EchoStateNetwork
from theory.maps.exponential import SLSTM
from theory.maps.gru import GRU
from theory.maps.hard_gru import HardGRU
from theory.maps.head import LinearHead
from theory.maps.linear import LinearMap
from theory.maps.lstm import LSTM
from theory.maps.mingru import MinGRU
from theory.maps.peephole import PeepholeLSTM
from theory.maps.rglru import RGLRU
from theory.maps.rnn import VanillaRNN
from theory.maps.selective import SelectiveSSM
from theory.measure.effective_memory import effective_memory
from theory.measure.experiment import experiment
from theory.measure.gaps import truncation_gaps
from theory.memory.context import required_context
from theory.norms.blocks import BlockMax
from theory.norms.norms import L1, L2, Linf, WeightedL1, WeightedL2, WeightedLinf
from theory.projections.interface import project
from theory.theorems import THEOREMS
from theory.trials.verdict import verify
from theory.truncation import truncate
from theory.version import __version__ as __version__

__all__ = [
    "GRU",
    "L1",
    "L2",
    "LSTM",
    "RGLRU",
    "SLSTM",
    "THEOREMS",
    "Block",
    "BlockMax",
    "CallableMap",
    "Cascade",
    "Contraction",
    "DeltaRule",
    "DiagonalSSM",
    "Domain",
    "EchoStateNetwork",
    "HardGRU",
    "Inputs",
    "LinearAttention",
    "LinearHead",
    "LinearMap",
    "Linf",
    "Map",
    "MinGRU",
    "PeepholeLSTM",
    "SelectiveSSM",
    "VanillaRNN",
    "WeightedL1",
    "WeightedL2",
    "WeightedLinf",
    "contraction",
    "effective_memory",
    "experiment",
    "project",
    "refute",
    "required_context",
    "truncate",
    "truncation_gaps",
    "verify",
]

#: The packages that are loaded when asked for, in the order of the page above.
_PACKAGES = (
    "maps",
    "sources",
    "norms",
    "theorems",
    "certify",
    "memory",
    "projections",
    "interop",
    "learning",
    "measure",
    "trials",
    "testing",
    "strategies",
    "torch",
    "errors",
)

if TYPE_CHECKING:
    from theory import certify as certify
    from theory import errors as errors
    from theory import interop as interop
    from theory import learning as learning
    from theory import maps as maps
    from theory import measure as measure
    from theory import memory as memory
    from theory import norms as norms
    from theory import projections as projections
    from theory import sources as sources
    from theory import strategies as strategies
    from theory import testing as testing
    from theory import theorems as theorems
    from theory import torch as torch
    from theory import trials as trials
else:  # a checker that saw this function would take any name for a module

    def __getattr__(name):
        """Load a package of the page above; of another name say where it is."""
        if name in _PACKAGES:
            return _import_module(f"theory.{name}")
        message = f"module 'theory' has no attribute {name!r}"
        where = None if name.startswith("_") else _package_of(name)
        if where is not None:
            message += f"; it is theory.{where}.{name}"
        raise AttributeError(message, name=name, obj=_sys.modules["theory"])

    def _package_of(name):
        """Return the package that lists a name in its `__all__`; the pages are read, not loaded."""
        import ast
        from pathlib import Path

        for package in _PACKAGES:
            here = Path(__file__).with_name(package)
            page = here / "__init__.py" if here.is_dir() else here.with_suffix(".py")
            for node in ast.parse(page.read_text(encoding="utf-8")).body:
                targets = getattr(node, "targets", [None])
                listed = getattr(targets[0], "id", "") == "__all__"
                if listed and name in ast.literal_eval(node.value):
                    return package
        return None


def __dir__() -> list[str]:
    """Return the names of the page above."""
    return sorted([*__all__, *_PACKAGES, "__all__", "__doc__", "__version__"])
