r"""The command `theory warm`: compile all kernels ahead, as when an image of a container is built.

Main name: `warm`; `theory.cli` registers it.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from theory.cli.options import JobsOption, out, refusals, workers
from theory.executors import finished
from theory.learning.data import training_data
from theory.learning.gradients import recurrent_gradient
from theory.maps.base import Map
from theory.maps.cascade import Cascade
from theory.maps.delta import DeltaRule
from theory.maps.diagonal import DiagonalSSM
from theory.maps.esn import EchoStateNetwork
from theory.maps.exponential import SLSTM
from theory.maps.gru import GRU
from theory.maps.head import LinearHead
from theory.maps.lstm import LSTM
from theory.maps.mingru import MinGRU
from theory.maps.rnn import VanillaRNN
from theory.measure.effective_memory import effective_memory
from theory.measure.gaps import truncation_gaps
from theory.measure.rates import local_rates
from theory.norms.norms import L2, WeightedL2
from theory.progress import counting_bar
from theory.projections.balls import column_sum_ball, row_sum_ball
from theory.projections.interface import project
from theory.projections.stable_pairs import stable_pairs

#: Units and inputs of the maps that are asked; kernels are compiled for all sizes at once.
_N, _M = 3, 2

#: Units from which on a plain map runs in blocks of rows, and one sequence's products are long.
_LARGE = 40


def _plain(n: int = _N) -> VanillaRNN:
    return VanillaRNN(np.eye(n) / 2, np.ones((n, _M)))


def _lstm() -> LSTM:
    return LSTM(np.zeros((4 * _N, _N)), np.zeros((4 * _N, _M)))


def _gru(variant: str = "reset_after") -> GRU:
    return GRU(np.zeros((3 * _N, _N)), np.zeros((3 * _N, _M)), variant=variant)


def _leaky() -> EchoStateNetwork:
    return EchoStateNetwork(np.eye(_N) / 2, np.ones((_N, _M)), leak=0.5)


def _delta() -> DeltaRule:
    heads, keys, values = 1, 2, 2
    rows = heads * (keys + values + 2)
    return DeltaRule(
        np.zeros((rows, _M)), decay=np.ones(heads), heads=heads, keys=keys, values=values
    )


def _stack() -> Cascade:
    return Cascade([_plain(_LARGE), VanillaRNN(np.eye(_N) / 2, np.ones((_N, _LARGE)))])


def _run(model: Map) -> None:
    """Run a map, on one sequence and on many, and compare all truncation lengths."""
    model.simulate(np.zeros((4, model.input_dim)))
    model.simulate(np.zeros((1024, 1, model.input_dim)))
    truncation_gaps(model, np.zeros((9, model.input_dim)), k_max=3, norm=L2())


def _remember(model: Map, *types: str) -> None:
    X = np.zeros((12, 8, model.input_dim))
    for dtype in types:
        effective_memory(model, X, eps=0.1, probability=0.5, confidence=0.9, dtype=dtype)


def _learn(model: Map) -> None:
    X = np.zeros((8, model.input_dim))
    recurrent_gradient(model, LinearHead(np.ones((1, _N))), training_data(X, np.zeros((8, 1))))


def _rates(model: Map) -> None:
    for norm in (L2(), WeightedL2(np.eye(model.state_dim))):
        local_rates(model, np.zeros((8, model.input_dim)), r=2, norm=norm)


def _nearest_balls() -> None:
    row_sum_ball(np.ones((3, 3)), 0.5, weights=np.ones(3))
    column_sum_ball(np.ones((3, 3)), 0.5, weights=np.ones(3))
    stable_pairs(np.ones((1, 2, 2)), 0.5)


def _nearest_cells() -> None:
    W = np.ones((4 * _N, _N))
    project(LSTM(W, W[:, :_M]), onto="lstm", rate=0.9)
    project(GRU(W[: 3 * _N], W[: 3 * _N, :_M]), onto="gru", rate=0.9)


#: What is asked, so that the kernels it needs are compiled; the long ones first.
_QUESTIONS: dict[str, Callable[[], None]] = {
    "local rates": lambda: _rates(_plain(_LARGE)),
    "local rates of a stack": lambda: _rates(_stack()),
    "a plain network": lambda: _run(_plain()),
    "an LSTM": lambda: _run(_lstm()),
    "memory of a plain network": lambda: _remember(_plain(), "float64", "float32"),
    "nearest stable LSTM and GRU": _nearest_cells,
    "nearest matrices": _nearest_balls,
    "a GRU": lambda: _run(_gru()),
    "memory of an LSTM": lambda: _remember(_lstm(), "float64", "float32"),
    "memory of a GRU": lambda: _remember(_gru(), "float64", "float32"),
    "memory of a leaky network": lambda: _remember(_leaky(), "float64", "float32"),
    "gradients of a plain network": lambda: _learn(_plain()),
    "gradients of an LSTM": lambda: _learn(_lstm()),
    "gradients of a GRU": lambda: _learn(_gru("reset_before")),
    "a leaky network": lambda: _run(_leaky()),
    "a large plain network": lambda: _run(_plain(_LARGE)),
    "memory of a large plain network": lambda: _remember(_plain(_LARGE), "float64"),
    "memory of a stack": lambda: _remember(_stack(), "float64", "float32"),
    "a diagonal model": lambda: _run(DiagonalSSM([0.5, 0.5], np.ones((2, _M)))),
    "a minimal GRU": lambda: _run(MinGRU(np.ones((2 * _N, _M)))),
    "a delta rule": lambda: _run(_delta()),
    "an sLSTM": lambda: _run(SLSTM(np.zeros((4 * _N, _N)), np.zeros((4 * _N, _M)))),
}


def _ask(question: str) -> int:
    """Ask, and return how many kernels were compiled for it."""
    from theory.kernels.jit import compilations

    before = compilations()
    _QUESTIONS[question]()
    return compilations() - before


@refusals()
def warm(jobs: JobsOption = 1) -> None:
    """Compile all kernels now, and keep them: the first use of each takes seconds otherwise.

    They are kept beside the package, or in the user's cache folder where that cannot be written, or
    in the folder NUMBA_CACHE_DIR; for the processor of this machine.
    """
    from theory.kernels.cells import run_kernel
    from theory.kernels.jit import kept_in

    folder = kept_in(run_kernel)
    if folder is None:
        raise ValueError(
            "what is compiled cannot be kept, neither beside the package nor in the user's cache "
            "folder; set NUMBA_CACHE_DIR to a folder that can be written"
        )
    begun, made = time.monotonic(), 0
    with counting_bar("kernels") as progress:
        answers = finished(_ask, _QUESTIONS, executor=workers(jobs, None))
        for done, (_, count) in enumerate(answers, start=1):
            made += count
            progress(done, len(_QUESTIONS))
    told = (
        f"compiled {made} kernels in {time.monotonic() - begun:.0f} s" if made else "all compiled"
    )
    out.print(f"{told}, kept in {folder}", markup=False, soft_wrap=True)
