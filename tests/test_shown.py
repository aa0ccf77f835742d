"""Results show themselves in a line, as a table and as a picture, and can be copied."""

from __future__ import annotations

import copy
import dataclasses
import importlib
import importlib.util
import inspect
import pickle
from functools import cache
from html.parser import HTMLParser

import numpy as np
import pytest

import theory
from theory.errors import MissingExtraError
from theory.pictures import COLOURS, drawn, errors_against_k
from theory.shown import frame, short

#: Classes of values inside others, whose own line is short.
SMALL = {"Activation", "Assumption", "Coordinates", "Rounded", "Sectors", "Terms"}
NORMS = {"BlockMax", "WeightedL1", "WeightedL2", "WeightedLinf"}

#: Letters that a line may have.
LONGEST = 600


def public_dataclasses():
    for package in theory._PACKAGES:
        face = importlib.import_module(f"theory.{package}")
        for name in face.__all__:
            thing = getattr(face, name)
            if inspect.isclass(thing) and dataclasses.is_dataclass(thing):
                yield thing


def test_every_result_shows_itself():
    lost = {kind.__name__ for kind in public_dataclasses() if not hasattr(kind, "_repr_html_")}
    assert lost <= SMALL | NORMS, f"decorate with theory.shown.shown: {lost - SMALL - NORMS}"


def made():
    rng = np.random.default_rng(0)
    W = rng.standard_normal((16, 16))
    cell = theory.VanillaRNN(0.9 * W / np.linalg.norm(W, 2), rng.standard_normal((16, 3)))
    box = theory.Inputs.box(-1, 1)
    yield theory.contraction(cell)
    yield theory.required_context(cell, 1e-2, inputs=box)
    yield theory.refute(theory.LinearMap(np.eye(40), np.ones((40, 1))))
    yield theory.certify.judge_contraction(theory.LinearMap(np.eye(12) / 2, np.ones((12, 1))))
    yield theory.certify.find_certificates(cell, box)
    system = theory.LinearMap([[0.5, 0.2], [0.0, 0.5]], np.eye(2))
    yield theory.memory.worst_case_error(system, 4, inputs=box)
    yield theory.memory.reach_tube(cell, np.zeros((20, 3)), k=20, inputs=box)
    yield theory.truncate(cell, 5)
    yield theory.LinearHead(W)
    yield theory.project(theory.VanillaRNN(W, np.eye(16)), onto="spectral", rate=0.9)
    yield theory.effective_memory(cell, rng.uniform(-1, 1, (500, 12, 3)), eps=0.5)
    yield theory.measure.local_rates(cell, rng.uniform(-1, 1, (4, 30, 3)), r=2)
    X = rng.standard_normal((30, 3))
    data = theory.learning.training_data(X, np.tanh(X[:, :2]), loss="squared")
    head = theory.LinearHead(rng.standard_normal((2, 16)) / 4)
    yield data
    yield theory.learning.train_twins(cell, head, data, k=(2, 3), steps=3, alpha=0.01)
    yield theory.learning.recurrent_gradient(cell, head, data)
    one = theory.experiment(cell, X, contraction=theory.contraction(cell))
    yield one
    yield theory.verify(theory.theorems.STATE_GAP, one)
    yield from theory.THEOREMS


@cache
def results():
    """Return them, made when a test asks first."""
    return list(made())


#: How many there are beside the theorems.
RESULTS = 17


@pytest.fixture(params=range(RESULTS))
def result(request):
    return results()[request.param]


def test_all_are_asked():
    assert len(results()) == RESULTS + len(theory.THEOREMS)


class Checked(HTMLParser):
    """Counts tags that are opened and closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open = []

    def handle_starttag(self, tag, _):
        self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_nothing_prints_a_page():
    for result in results():
        line = repr(result)
        assert "\n" not in line, line
        assert len(line) <= LONGEST, line
        assert " object at 0x" not in line, line


def test_its_table_is_well_formed(result):
    if isinstance(result, theory.LinearHead):
        return
    page = Checked()
    page.feed(result._repr_html_())
    assert page.open == []


def same(a, b):
    if isinstance(a, np.ndarray):
        assert b.dtype == a.dtype
        assert np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
        assert not b.flags.writeable
    elif isinstance(a, (tuple, list)):
        for one, other in zip(a, b, strict=True):
            same(one, other)
    elif isinstance(a, dict) or type(a).__name__ == "mappingproxy":
        assert type(a) is type(b)
        for key in a:
            same(a[key], b[key])
    elif isinstance(a, (int, float, str, bool)):
        # a NaN is not equal to itself
        assert repr(a) == repr(b)


@pytest.mark.parametrize("how", [lambda r: pickle.loads(pickle.dumps(r)), copy.deepcopy])
def test_copies_are_the_same_and_read_only(result, how):
    again = how(result)
    assert type(again) is type(result)
    same(dict(vars(result)), dict(vars(again)))
    assert repr(again) == repr(result)


def test_a_projection_can_be_copied_and_its_mappings_stay_closed():
    found = next(r for r in results() if isinstance(r, theory.projections.Projection))
    again = pickle.loads(pickle.dumps(found))
    with pytest.raises(TypeError):
        again.moved["W"] = 0.0


def test_a_line_tells_numbers_exactly_and_arrays_by_their_shape():
    assert short(0.1 + 0.2) == "0.30000000000000004"
    assert short(np.zeros(2)) == "[0.0, 0.0]"
    assert short(np.zeros((2, 2))) == "array(2, 2)"
    assert short({"a": 1}) == "{a: 1}"
    assert short(tuple(range(9))) == "(9 of them)"


def test_pictures_are_drawn_from_python():
    pytest.importorskip("matplotlib", reason="pictures need the extra report")
    choice = next(r for r in results() if isinstance(r, theory.memory.Choice))
    axes = choice.plot(measured=np.full(5, 1e-3)).axes[0]
    assert axes.get_yscale() == "log"
    assert "k" in axes.get_xlabel()
    assert f"certified k = {choice.k}" in axes.get_legend_handles_labels()[1]
    answer = next(r for r in results() if isinstance(r, theory.measure.EffectiveMemory))
    labels = answer.plot().axes[0].get_legend_handles_labels()[1]
    assert "largest measured" in labels
    assert "allowed error 0.5" in labels


def test_a_kind_of_thing_keeps_its_colour_whatever_is_beside_it():
    pytest.importorskip("matplotlib", reason="pictures need the extra report")
    proved = ("bound", "certified", np.ones(3))
    seen = ("seen", "measured", np.ones(3))
    colours = []
    for curves in ([proved], [proved, seen], [seen, proved], [seen, seen, proved]):
        _, axes = errors_against_k(curves, ylabel="error")
        by_label = {line.get_label(): line.get_color() for line in axes.lines}
        colours.append(by_label["bound"])
        ticks = axes.get_xticks()
        assert np.array_equal(ticks, np.round(ticks)), "contexts are whole numbers"
    assert set(colours) == {COLOURS["certified"]}
    assert np.isnan(drawn(np.array([0.0, np.inf]))).all()


def test_tables_for_pandas_or_the_extra_by_name():
    answer = next(r for r in results() if isinstance(r, theory.measure.EffectiveMemory))
    if importlib.util.find_spec("pandas") is None:
        with pytest.raises(MissingExtraError, match="notebook"):
            answer.to_frame()
        return
    table = answer.to_frame()
    assert list(table.index) == list(range(answer.k_max + 1))
    for result in results():
        if hasattr(result, "to_frame"):
            assert len(result.to_frame()) > 0
    assert list(frame({"a": [1]})["a"]) == [1]
