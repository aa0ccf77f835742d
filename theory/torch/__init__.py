"""Stable PyTorch modules during training, and maps as modules.

    StableProjection      after an optimizer's step, the nearest stable weights
    parametrize_stable    weights that cannot leave the set, by `torch.nn.utils.parametrize`
    receptive_field       of how many inputs a feed-forward module is a function, exactly, by its
                          structure and by asking it: a `ReceptiveField`
    SpectralBall, RowSums, MetricBall    the parametrizations it chooses from
    stable_callback       the projection as a callback of Lightning
    truncated_backprop    bias of truncated backpropagation on your module: a `TruncatedBackprop`
    to_torch              a map, or its k-step counterpart, as a module

Needs PyTorch (the extra ``torch``); importing this package without it works, using it does not.
Weights of `torch.nn.RNN`, `LSTM`, `GRU` and their cells are known, all layers and directions.
"""

from theory.torch.backprop import TruncatedBackprop, truncated_backprop
from theory.torch.lightning import stable_callback
from theory.torch.out import to_torch
from theory.torch.parametrizations import MetricBall, RowSums, SpectralBall, parametrize_stable
from theory.torch.projection import StableProjection
from theory.torch.receptive_field import ReceptiveField, receptive_field

__all__ = [
    "MetricBall",
    "ReceptiveField",
    "RowSums",
    "SpectralBall",
    "StableProjection",
    "TruncatedBackprop",
    "parametrize_stable",
    "receptive_field",
    "stable_callback",
    "to_torch",
    "truncated_backprop",
]
