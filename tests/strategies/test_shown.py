"""A failing example shows the weights of its map, as code that makes it again."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings

import theory
from theory.strategies import any_maps, certified_maps, stable_maps
from theory.strategies.shown import as_code


@given(recurrent=any_maps())
def test_code_makes_the_same_map(recurrent):
    again = eval(as_code(recurrent), vars(theory) | vars(theory.maps))
    assert type(again) is type(recurrent)
    assert repr(again) == repr(recurrent)
    assert again.parameters.keys() == recurrent.parameters.keys()
    for name, value in recurrent.parameters.items():
        np.testing.assert_array_equal(again.parameters[name], value)
    for ours, theirs in zip(
        getattr(again, "readouts", ()), getattr(recurrent, "readouts", ()), strict=True
    ):
        np.testing.assert_array_equal(ours.C, theirs.C)


@pytest.mark.parametrize("strategy", [stable_maps(), certified_maps()], ids=["stable", "certified"])
def test_a_failing_example_can_be_pasted(strategy):
    @settings(max_examples=5, database=None)
    @given(drawn=strategy)
    def fails(drawn):
        assert drawn is None

    with pytest.raises(AssertionError) as error:
        fails()
    (line,) = [note for note in error.value.__notes__ if note.startswith("drawn: ")]
    assert eval(line.removeprefix("drawn: "), vars(theory)).state_dim == 1


@pytest.mark.slow
def test_the_default_deadline_stands_where_nothing_is_compiled_yet(tmp_path):
    """A fresh cache of kernels, and Hypothesis as it is out of the box: 200 ms an example."""
    (tmp_path / "test_fresh.py").write_text(
        "from hypothesis import given, settings\n"
        "from theory.strategies import any_maps\n"
        "import numpy as np, theory\n\n"
        "@settings(database=None)\n"
        "@given(any_maps())\n"
        "def test_it_runs(cell):\n"
        "    theory.truncation_gaps(cell, np.zeros((9, cell.input_dim)), k_max=3)\n",
        encoding="utf-8",
    )
    root = Path(theory.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "cache"), "PYTHONPATH": str(root)},
    )
    assert done.returncode == 0, done.stdout
