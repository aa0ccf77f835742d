"""Stable PyTorch modules during training, and maps as modules.

    StableProjection      after an optimizer's step, the nearest stable weights
    parametrize_stable    weights that cannot leave the set, by `torch.nn.utils.parametrize`
    SpectralBall, RowSums, MetricBall    the parametrizations it chooses from
    to_torch              a map, or its k-step counterpart, as a module

Needs PyTorch (the extra ``torch``); importing this package without it works, using it does not.
Weights of `torch.nn.RNN`, `LSTM`, `GRU` and their cells are known, all layers and directions.
"""

from theory.torch.out import to_torch
from theory.torch.parametrizations import MetricBall, RowSums, SpectralBall, parametrize_stable
from theory.torch.projection import StableProjection

__all__ = [
    "MetricBall",
    "RowSums",
    "SpectralBall",
    "StableProjection",
    "parametrize_stable",
    "to_torch",
]
