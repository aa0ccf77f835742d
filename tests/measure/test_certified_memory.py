"""A memory in two stages: the guarantee of the first, and the proof of the second."""

import numpy as np
import pytest

from theory import L2, LSTM, LinearHead, LinearMap, Linf, VanillaRNN
from theory.measure import certified_memory

CELL = VanillaRNN([[1.2, -0.5], [0.5, 0.9]], np.eye(2))


def pieces(count, seed=0, T=40):
    return list(2 * np.random.default_rng(seed).standard_normal((count, T, 2)))


def test_what_is_said_holds_on_new_sequences():
    found = certified_memory(
        CELL, pieces(56), eps=1e-2, probability=0.1, design=2, window=10, tubes=6
    )
    assert found.k == found.k_1 + max(found.steps)
    new, exceeded = pieces(12, seed=1), 0
    for x in new:
        tube = found.tube(x)
        near = found.measured.norm.vector(
            CELL.simulate(x)[len(x) - found.window - 1] - tube.known[0]
        )
        exceeded += near > found.share
        distances = tube.distance(L2())
        # with the past as near as measured, the error is as proved, for every length of the window
        if near <= found.share:
            h = CELL.simulate(x)
            assert (
                np.linalg.norm(h[len(x) - found.window :] - tube.known[1:], axis=1)
                <= distances[1:] + 1e-12
            ).all()
    assert exceeded <= 0.1 * len(new)
    gaps = [CELL.simulate(x)[-1] - CELL.simulate(x[-found.k :])[-1] for x in pieces(200, seed=2)]
    assert np.mean(np.linalg.norm(gaps, axis=1) > 1e-2) <= 0.1
    assert "certified, given such pasts" in str(found)


def test_pasts_are_near_in_states_that_are_not_shown():
    """An LSTM shows h, and its tube starts from (c, h)."""
    rng = np.random.default_rng(3)
    cell = LSTM(0.4 * rng.standard_normal((12, 3)), rng.standard_normal((12, 2)))
    found = certified_memory(
        cell, pieces(40), eps=0.05, probability=0.2, confidence=0.9, share=0.02, design=2,
        window=8, tubes=4, head=cell.output_map,
    )  # fmt: skip
    assert found.k is not None
    short = found.k_1 - 1
    far = [
        np.abs(cell.simulate(x)[-1] - cell.simulate(x[-short:])[-1]) / found.ranges
        for x in pieces(60, seed=4)
    ]
    # one input fewer is not enough
    assert np.max(far) > 0.02
    for x in pieces(10, seed=5):
        start = len(x) - found.window
        gap = cell.simulate(x[:start])[-1] - cell.simulate(x[start - found.k_1 : start])[-1]
        tube = found.tube(x)
        if np.all(np.abs(gap) <= 0.02 * found.ranges):
            moved = cell.simulate(x)[start:] - tube.known[1:]
            assert np.all(
                np.linalg.norm(moved @ cell.output_map.T, axis=1)
                <= tube.distance(L2(), cell.output_map)[1:] + 1e-12
            )


def test_where_nothing_is_near_or_nothing_shrinks_it_says_so():
    # a sum of all inputs forgets nothing
    stuck = LinearMap([[1.0]], [[1.0]])
    small = list(1e-3 * np.random.default_rng(2).standard_normal((40, 30, 1)))
    found = certified_memory(
        stuck, small, eps=1e-2, probability=0.2, confidence=0.9, design=1, window=5
    )
    assert (found.k, found.k_1, found.share) == (None, None, 0.0)
    assert "are proved to forget" in str(found)
    with pytest.raises(ValueError, match="needed pasts that are proved"):
        found.tube(small[0])
    # pasts within 1e-9 of each other are not measured with four inputs
    far = certified_memory(
        CELL, pieces(60), eps=1e-2, probability=0.1, share=1e-9, k_max=4, window=5
    )
    assert far.k_1 is None
    assert "pasts are not measured" in str(far)


def test_of_outputs():
    head = LinearHead(np.array([[1.0, -1.0]]))
    one = certified_memory(
        CELL, pieces(60), eps=1e-2, probability=0.1, head=head, norm=Linf(), share=0.02,
        window=12, tubes=3,
    )  # fmt: skip
    assert one.k is not None
    assert (one.C == head.C).all()


def test_malformed():
    for options, message in (
        ({"eps": 0.0}, "eps=0.0"),
        ({"eps": 0.1, "share": -1.0}, "share=-1.0"),
        ({"eps": 0.1, "design": 80}, "needed more than the 80"),
        ({"eps": 0.1, "window": 40}, "needed more than window=40"),
    ):
        with pytest.raises(ValueError, match=message):
            certified_memory(CELL, pieces(20), **options)
