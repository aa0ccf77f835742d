"""The Hypothesis profiles, and a warm-up of the kernels.

Choose a profile with the environment variable HYPOTHESIS_PROFILE: ``default`` draws new examples at
every run, ``ci`` the same ones, ``quick`` a few of those (kernels as plain Python are slow),
``thorough`` many.
"""

import gc
import os

import numpy as np
import pytest
from hypothesis import settings

from theory import (
    GRU,
    LSTM,
    DiagonalSSM,
    EchoStateNetwork,
    Linf,
    MinGRU,
    VanillaRNN,
    WeightedLinf,
    truncation_gaps,
)

# with explanations of its assertions, as those of a test
pytest.register_assert_rewrite("questions")

# no deadline anywhere: the first call of a kernel compiles it, and machines are slow at times
settings.register_profile("default", deadline=None, max_examples=60, print_blob=True)
settings.register_profile(
    "ci", deadline=None, max_examples=100, print_blob=True, derandomize=True, database=None
)
settings.register_profile(
    "quick", deadline=None, max_examples=10, print_blob=True, derandomize=True, database=None
)
settings.register_profile("thorough", deadline=None, max_examples=1000, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


@pytest.fixture(scope="session", autouse=True)
def _warm_kernels() -> None:
    """Compile what the tests call, so that no single test is charged for it."""
    cell = VanillaRNN([[0.5]], [[1.0]])
    truncation_gaps(cell, np.zeros((2, 1)), k_max=1, norm=Linf())
    truncation_gaps(cell, np.zeros((2, 1)), k_max=1, norm=WeightedLinf([1.0]))
    gated = LSTM(np.zeros((4, 1)), np.zeros((4, 1))), GRU(np.zeros((3, 1)), np.zeros((3, 1)))
    others = EchoStateNetwork([[0.5]], [[1.0]], leak=0.5), DiagonalSSM([0.5], [[1.0]])
    for model in (*gated, *others, MinGRU([[1.0], [1.0]])):
        truncation_gaps(model, np.zeros((2, 1)), k_max=1)
        model.simulate(np.zeros((1024, 1, 1)))


def pytest_sessionstart() -> None:
    """Search for no garbage while tests are collected: what is made there stays to the end."""
    gc.disable()


def pytest_collection_finish() -> None:
    """Leave what was collected out of every later search.

    Tests, parameters and syntax trees are millions of objects, which each would read again.
    """
    gc.collect()
    gc.freeze()
    # tests make and drop small objects by the million, hardly any of them in cycles: with Python's
    # 700 the searches take a tenth of the time of a property test
    gc.set_threshold(100_000, 50, 100)
    gc.enable()
