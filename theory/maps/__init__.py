"""The maps under study: `LinearMap`, `VanillaRNN`, `CallableMap`, all of them a `Map`."""

from theory.maps.base import Affine, Map
from theory.maps.callable import CallableMap
from theory.maps.linear import LinearMap
from theory.maps.rnn import VanillaRNN

__all__ = ["Affine", "CallableMap", "LinearMap", "Map", "VanillaRNN"]
