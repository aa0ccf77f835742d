"""The maps under study, each a `Map`: linear, vanilla, gated, state-space, and layers of them."""

from theory.maps.base import Map
from theory.maps.callable import CallableMap
from theory.maps.cascade import Cascade
from theory.maps.diagonal import DiagonalSSM
from theory.maps.esn import EchoStateNetwork
from theory.maps.form import Affine
from theory.maps.gru import GRU
from theory.maps.linear import LinearMap
from theory.maps.lstm import LSTM
from theory.maps.mingru import MinGRU
from theory.maps.rglru import RGLRU
from theory.maps.rnn import VanillaRNN
from theory.maps.selective import SelectiveSSM

__all__ = [
    "GRU",
    "LSTM",
    "RGLRU",
    "Affine",
    "CallableMap",
    "Cascade",
    "DiagonalSSM",
    "EchoStateNetwork",
    "LinearMap",
    "Map",
    "MinGRU",
    "SelectiveSSM",
    "VanillaRNN",
]
