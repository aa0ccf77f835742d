"""Stable PyTorch modules during training: projections after a step, or parametrizations.

Needs PyTorch (the extra ``torch``); importing this package without it works, using it does not.
Weights of `torch.nn.RNN`, `LSTM`, `GRU` and their cells are known, all layers and directions.
"""

from theory.torch.parametrizations import MetricBall, RowSums, SpectralBall, parametrize_stable
from theory.torch.projection import StableProjection

__all__ = [
    "MetricBall",
    "RowSums",
    "SpectralBall",
    "StableProjection",
    "parametrize_stable",
]
