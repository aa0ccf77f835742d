"""The fuzz of maps of all kinds: a sample, what it would notice, and that it goes on."""

from dataclasses import replace

import fuzz
import numpy as np
import pytest
from draws import MAKERS


def test_a_sample_contradicts_no_certificate():
    seen = fuzz.block(0, maps=60)
    assert seen["false"] == []
    assert sum(seen["maps"].values()) == 60
    assert sum(seen["claims"].values()) > 60


def test_every_class_is_drawn():
    assert fuzz.SHARES.keys() == {kind.__name__ for kind in MAKERS}


def test_a_rate_that_is_too_small_is_noticed(monkeypatch):
    found = fuzz.run_methods

    def bold(*asked, **how):
        return {name: replace(c, lam=0.9 * c.lam) for name, c in found(*asked, **how).items()}

    monkeypatch.setattr(fuzz, "run_methods", bold)
    monkeypatch.setattr(fuzz, "STORED", 0.0)
    assert len(fuzz.block(0, maps=60)["false"]) > 20


def test_an_error_is_no_answer(monkeypatch):
    def fail(*_, **__):
        raise ValueError("no reason")

    monkeypatch.setattr(fuzz, "run_methods", fail)
    seen = fuzz.block(0, maps=2)["false"]
    assert seen == ["map 0: ValueError: no reason", "map 1: ValueError: no reason"]


def test_a_run_goes_on_where_it_was_ended(monkeypatch, tmp_path, capsys):
    done = []

    def block(number):
        done.append(number)
        return {**fuzz.Count().to_dict(), "maps": {"LSTM": 3}, "false": ["one"] * (number == 1)}

    monkeypatch.setattr(fuzz, "block", block)
    assert fuzz.run(2 * fuzz.BLOCK, tmp_path, 1).maps == {"LSTM": 6}
    total = fuzz.run(3 * fuzz.BLOCK, tmp_path, 1)
    assert (done, total.maps["LSTM"], total.false) == ([0, 1, 2], 9, ["one"])
    assert "9 maps, 0 claims, 1 false" in fuzz.table(total)
    assert "one" in capsys.readouterr().out


def test_draws_do_not_depend_on_what_was_drawn_before():
    one, other = (fuzz.drawn(np.random.default_rng([7, *b"fuzz"])) for _ in "ab")
    assert repr(one) == repr(other)


def test_gains_of_a_stack_that_overflow_are_no_comparison(monkeypatch):
    """Found by the fuzz: an error instead of None, of a stack with weights of 1e300."""
    monkeypatch.delitem(fuzz.SHARES, "SLSTM")  # as they were drawn when it was found
    count = fuzz.Count()
    with np.errstate(all="ignore"):
        fuzz.one_map(29075, count)
    assert (dict(count.maps), count.false) == ({"Cascade": 1}, [])


@pytest.mark.parametrize("number", [140_821, 815_919])
def test_jacobians_that_overflow_end_a_climb(number):
    """Found by the fuzz: an error of NumPy out of `rate_lower` and `refute`."""
    count = fuzz.Count()
    with np.errstate(all="ignore"):
        fuzz.one_map(number, count)
    assert count.false == []
