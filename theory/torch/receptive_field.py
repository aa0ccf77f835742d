r"""Receptive fields: of how many inputs is an output of a feed-forward module a function?

Main names: `receptive_field`, `ReceptiveField`.

What every operation does to the times of a sequence is known (`theory.torch.times`), and the
module's own operations are followed with it: an output depends on no other input, whatever the
weights are.  Then the module is asked: an input that is moved, and gradients, must reach what the
structure says at both of its ends, and nothing outside.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

import numpy as np
import numpy.typing as npt

from theory.errors import check_count
from theory.shown import shown
from theory.torch.layers import need_torch, torch
from theory.torch.times import UnboundedError, follow

Marks = npt.NDArray[np.bool_]

#: Draws of inputs and directions by which a module is asked before it is said not to depend on one.
PROBES = 8


@final
@shown
@dataclass(frozen=True, kw_only=True, eq=False)
class ReceptiveField:
    """On which inputs the output at time t depends: those at t + lag for the lags listed."""

    lags: tuple[int, ...]  # ascending; -3 is the input three steps before, 0 that of the same time
    probed: tuple[int, ...]  # those that were seen to matter, by moving inputs and by gradients
    times: int  # length of the sequences looked at

    @property
    def k(self) -> int:
        """Return the number of last inputs that the output is a function of, its own included."""
        return max(1 - self.lags[0], 0)

    @property
    def future(self) -> int:
        """Return how many later inputs the output depends on: 0 of a causal module."""
        return max(self.lags[-1], 0)

    @property
    def causal(self) -> bool:
        """Return whether no later input matters."""
        return self.future == 0

    def __str__(self) -> str:
        holes = self.lags[-1] - self.lags[0] + 1 - len(self.lags)
        return (
            f"receptive field of {self.k} inputs"
            + (f", {self.future} later ones beside" if self.future else "")
            + (f", {holes} of them skipped" if holes else "")
        )


def receptive_field(
    module: Any, example: Any, *, time: int = -1, seed: int = 0
) -> ReceptiveField | None:
    r"""Return the exact receptive field of a feed-forward module, None if it has none.

    An output in the middle of the example, past what padding touches, is looked at (the first, if
    there are several); sequences must be long enough that the field fits between their ends.

    Parameters
    ----------
    module : torch.nn.Module
        Made of convolutions, slices, padding, layers that act at every time by themselves, and
        attention (`scaled_dot_product_attention`, `torch.nn.MultiheadAttention`) with a mask or
        without.  Weights are not changed; it is looked at in evaluation mode.
    example : torch.Tensor
        An input; its values do not matter, but integers are taken for classes, and others are
        drawn between the least and the largest of them.
    time : int
        The axis of time of the input; that of the output is followed.
    seed : int
        Of the draws by which the module is asked.

    Returns
    -------
    ReceptiveField or None
        None where an output depends on all inputs before it, or on all: recurrence, attention
        without a window, normalisation or pooling over times.

    Raises
    ------
    ValueError
        If an operation is not known, the example is too short, the field is not that of all
        outputs, or what the structure says is not what the module does: a mask that is not used, a
        tap of weight zero, units that are dead.
    MissingExtraError
        Without PyTorch.

    Examples
    --------
    >>> import torch
    >>> layer = torch.nn.Conv1d(1, 1, 3, dilation=2)
    >>> receptive_field(layer, torch.zeros(1, 1, 20)).lags
    (0, 2, 4)
    """
    need_torch()
    if not isinstance(module, torch.nn.Module):
        raise ValueError(f"received {type(module).__name__}, needed a torch.nn.Module")
    if not isinstance(example, torch.Tensor) or example.ndim < 2:
        raise ValueError("example is no sequence, needed a tensor with an axis of time and another")
    check_count(seed=seed)
    axis = time % example.ndim
    was_training = {part: part.training for part in module.modules()}
    module.eval()
    try:
        try:
            found_axis, marks = follow(module, example, axis)
        except UnboundedError:
            return None
        inner = _inner(marks)
        lags = _lags(marks, inner)
        probed = _probe(module, example, axis, found_axis, inner, seed)
    finally:
        for part, training in was_training.items():
            part.training = training
    _compare(lags, probed)
    return ReceptiveField(lags=lags, probed=probed, times=int(example.shape[axis]))


def _inner(marks: Marks) -> int:
    """Return the output in the middle of those that see as much as any."""
    counts = marks.sum(axis=1)
    full = np.flatnonzero(counts == counts.max())
    return int(full[len(full) // 2])


def _lags(marks: Marks, inner: int) -> tuple[int, ...]:
    """Return the lags of an output, which those beside it have too."""
    lags = np.flatnonzero(marks[inner]) - inner
    n = marks.shape[1]
    if len(lags) == 0:
        raise ValueError("no output depends on any input, needed a module of the sequence")
    same = 0
    for t in range(len(marks)):
        seen = lags + t
        if seen[0] >= 0 and seen[-1] < n:
            if not np.array_equal(np.flatnonzero(marks[t]), seen):
                raise ValueError(
                    f"the outputs at {inner} and {t} depend on different lags, needed one field "
                    "for all: strides and positions have none"
                )
            same += 1
    if same < 2:
        raise ValueError(
            f"an output depends on {lags[-1] - lags[0] + 1} times of {n}: the example is too short "
            "to tell a field from its ends, needed twice as many"
        )
    return tuple(int(lag) for lag in lags)


def _probe(
    module: Any, example: Any, axis: int, out_axis: int, inner: int, seed: int
) -> tuple[int, ...]:
    """Return the lags that are seen to matter to one output."""
    generator = torch.Generator().manual_seed(seed)
    whole = not example.is_floating_point()
    if whole and bool(example.min() == example.max()):
        raise ValueError(
            f"all integers of the example are {int(example.min())}, needed classes that differ, so "
            "that one can be exchanged for another"
        )
    seen: set[int] = set()

    def output(x: Any) -> Any:
        found = module(x)
        while isinstance(found, (tuple, list)):
            found = found[0]
        return found.select(out_axis, inner)

    def draw() -> Any:
        if whole:
            low, high = int(example.min()), int(example.max())
            drawn = torch.randint(low, high + 1, example.shape, generator=generator)
        else:
            drawn = torch.randn(example.shape, generator=generator)
        return drawn.to(example)

    with torch.no_grad():
        for _ in range(PROBES):
            x, other = draw(), draw()
            before = output(x)
            for s in range(example.shape[axis]):
                moved = x.clone()
                moved.select(axis, s).copy_(other.select(axis, s))
                if not torch.equal(output(moved), before):
                    seen.add(s - inner)
    if not whole:
        x = draw().requires_grad_(True)
        weights = torch.randn(output(x).shape, generator=generator).to(x)
        (slope,) = torch.autograd.grad((output(x) * weights).sum(), x)
        others = [i for i in range(slope.ndim) if i != axis]
        sizes = slope.abs().amax(dim=others) if others else slope.abs()
        seen |= {int(s) - inner for s in torch.nonzero(sizes)[:, 0]}
    return tuple(sorted(seen))


def _compare(lags: tuple[int, ...], probed: tuple[int, ...]) -> None:
    outside = sorted(set(probed) - set(lags))
    if outside:
        raise ValueError(
            f"the module depends on lags {outside[:4]}, which its structure does not: something "
            "else reaches them; needed a module made of PyTorch's own operations"
        )
    for end, name in ((0, "first"), (-1, "last")):
        if not probed or probed[end] != lags[end]:
            seen = f"[{probed[0]}, {probed[-1]}]" if probed else "none"
            raise ValueError(
                f"by structure the {name} lag is {lags[end]}, but of {PROBES} draws none reached "
                f"it (lags seen: {seen}): weights of zero, dead units, or effects below rounding; "
                "needed a module that uses its field, such as one with its initial weights"
            )
