"""What is studied: a `Map` takes a state and an input to the next state.

Affine in the state before an activation:

    LinearMap           h <- A h + B x + bias
    VanillaRNN          h <- rho(W h + U x + b)
    EchoStateNetwork    the same, leaky

Gated: `LSTM` and `GRU`.  State-space and other recurrences that are linear in the state, each a
`LinearRecurrence`: `SelectiveSSM` (Mamba), `MinGRU`, `RGLRU`; and `DiagonalSSM` (LRU, S4D).
Several of them: `Cascade`, each layer seeing the output of the one below.  Any other function
becomes a `CallableMap`, about which less is known.

Each is defined by its `step` in plain NumPy, has exact Jacobians and a derived bound of its
rounding error; ``map.drive(norm, inputs)`` is a `Drive`, ``map.affine()`` an `Affine` form or None.
The output of a state is a `LinearHead`, which `as_head` makes of the output layers of other
programs; of a layer within a cascade it is a `Readout`.  Sizes and errors in ``map.rounded_step``
are `Rounded`; ``map.reach`` encloses a step of a `Zonotope`, in a `Reach`.  An `Activation` is
found by name with `activation`; `leaky_relu` makes one.
"""

from theory.arithmetic.activations import Activation, activation, leaky_relu
from theory.arithmetic.rounded import Rounded
from theory.arithmetic.zonotopes import Zonotope
from theory.inputs import Drive
from theory.maps.base import Map
from theory.maps.boxes.reached import Reach
from theory.maps.callable import CallableMap
from theory.maps.cascade import Cascade
from theory.maps.diagonal import DiagonalSSM
from theory.maps.esn import EchoStateNetwork
from theory.maps.form import Affine
from theory.maps.gru import GRU
from theory.maps.head import LinearHead, Readout, as_head
from theory.maps.linear import LinearMap
from theory.maps.lstm import LSTM
from theory.maps.mingru import MinGRU
from theory.maps.recurrence import LinearRecurrence
from theory.maps.rglru import RGLRU
from theory.maps.rnn import VanillaRNN
from theory.maps.selective import SelectiveSSM

__all__ = [
    "GRU",
    "LSTM",
    "RGLRU",
    "Activation",
    "Affine",
    "CallableMap",
    "Cascade",
    "DiagonalSSM",
    "Drive",
    "EchoStateNetwork",
    "LinearHead",
    "LinearMap",
    "LinearRecurrence",
    "Map",
    "MinGRU",
    "Reach",
    "Readout",
    "Rounded",
    "SelectiveSSM",
    "VanillaRNN",
    "Zonotope",
    "activation",
    "as_head",
    "leaky_relu",
]
