r"""The causal convolution over a few inputs, as a block whose memory is a shift.

Main name: `short_convolution`.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from theory.errors import as_matrix
from theory.maps.block import Block
from theory.maps.combine import Chain
from theory.maps.functions import Dense, Function, Pointwise
from theory.maps.linear import LinearMap


def short_convolution(
    weights: npt.ArrayLike, bias: npt.ArrayLike | None = None, *, activation: str = "identity"
) -> Block:
    r"""Return the causal convolution y_t = rho(sum_j weights_j x_{t-width+1+j} + bias), by channel.

    Its memory are the last inputs, and no more: the transition is a shift.

    Parameters
    ----------
    weights : (d, width) array
        The last column multiplies the newest input, as in PyTorch's ``Conv1d`` of groups d.
    bias : (d,) array, optional
        Zero by default.
    activation : str
        ``silu`` in Mamba.

    Raises
    ------
    ValueError
        If a shape does not fit or the activation is unknown.

    Examples
    --------
    >>> blur = short_convolution([[0.25, 0.75]])
    >>> (blur.simulate([[1.0], [0.0], [0.0]]) @ blur.output_map.T).ravel().tolist()
    [0.75, 0.25, 0.0]
    """
    K = as_matrix("weights", weights)
    d, width = K.shape
    # the newest input first
    shift = np.eye(d * width, k=-d)
    C = np.hstack([np.diag(K[:, width - 1 - j]) for j in range(width)])
    read = Dense(np.hstack([C, np.zeros((d, d))]), bias)
    after: Function = read
    if activation != "identity":
        after = Chain([read, Pointwise(activation, d)])
    return Block(LinearMap(shift, np.eye(d * width, d)), after=after)
