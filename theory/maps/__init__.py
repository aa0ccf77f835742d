"""What is studied: a `Map` takes a state and an input to the next state.

Affine in the state before an activation:

    LinearMap           h <- A h + B x + bias
    VanillaRNN          h <- rho(W h + U x + b)
    EchoStateNetwork    the same, leaky

Gated: `LSTM`, `PeepholeLSTM` (peepholes, hard sigmoid gates), `SLSTM` (exponential gates and a
normaliser; made by `slstm`), `GRU` and `HardGRU`.  State-space and
other recurrences that are linear in the state, each a `LinearRecurrence`: `SelectiveSSM` (Mamba),
`MinGRU`, `RGLRU`, `LinearAttention` (made by `retnet`, `gla`, `mamba2` and `mlstm`); `DeltaRule`
(by `gated_delta` and `rwkv7`); and `DiagonalSSM` (LRU, S4D).  Several of them: `Cascade`, each
layer seeing the output of the one below.  Any other function becomes a `CallableMap`, about which
less is known.

A `Block` is a recurrence with a `Function` before and one after it, so that a network of blocks is
a `Cascade`: `Dense`, `Pointwise`, `Normalize`, `Softmax`, `Select`, `Read` (of a memory, by
queries), put together by `Chain`, `Sum` (residual branches), `Product` (gated linear units) and
`Concatenate`.
`short_convolution` is a block of its own.  A head of several layers is a `Chain`, too: `with_head`
puts it behind a map, and `as_function` makes it of the layers of PyTorch.

Each is defined by its `step` in plain NumPy, has exact Jacobians and a derived bound of its
rounding error; ``map.drive(norm, inputs)`` is a `Drive`, ``map.affine()`` an `Affine` form or None.
The output of a state is a `LinearHead`, which `as_head` makes of the output layers of other
programs; of a layer within a cascade it is a `Readout`.  Sizes and errors in ``map.rounded_step``
are `Rounded`; ``map.reach`` encloses a step of a `Zonotope`, in a `Reach`; what a step makes of the
lengths of entries that turn together are `Lengths`.  An `Activation` is found by name with
`activation`; `leaky_relu` makes one.
"""

from theory.arithmetic.activations import Activation, activation, leaky_relu
from theory.arithmetic.rounded import Rounded
from theory.arithmetic.zonotopes import Zonotope
from theory.inputs import Drive
from theory.maps.architectures import gated_delta, gla, mamba2, mlstm, retnet, rwkv7, slstm
from theory.maps.attention import LinearAttention
from theory.maps.base import Map
from theory.maps.block import Block
from theory.maps.boxes.reached import Reach
from theory.maps.callable import CallableMap
from theory.maps.cascade import Cascade
from theory.maps.combine import Chain, Concatenate, Product, Sum
from theory.maps.convolution import short_convolution
from theory.maps.delta import DeltaRule
from theory.maps.diagonal import DiagonalSSM
from theory.maps.esn import EchoStateNetwork
from theory.maps.exponential import SLSTM
from theory.maps.form import Affine
from theory.maps.functions import Dense, Function, Pointwise, Select
from theory.maps.gru import GRU
from theory.maps.hard_gru import HardGRU
from theory.maps.head import LinearHead, Readout, as_head
from theory.maps.lengths import Lengths
from theory.maps.linear import LinearMap
from theory.maps.lstm import LSTM
from theory.maps.mingru import MinGRU
from theory.maps.normalize import Normalize
from theory.maps.output import as_function, with_head
from theory.maps.peephole import PeepholeLSTM
from theory.maps.reading import Read
from theory.maps.recurrence import LinearRecurrence
from theory.maps.rglru import RGLRU
from theory.maps.rnn import VanillaRNN
from theory.maps.selective import SelectiveSSM
from theory.maps.softmax import Softmax

__all__ = [
    "GRU",
    "LSTM",
    "RGLRU",
    "SLSTM",
    "Activation",
    "Affine",
    "Block",
    "CallableMap",
    "Cascade",
    "Chain",
    "Concatenate",
    "DeltaRule",
    "Dense",
    "DiagonalSSM",
    "Drive",
    "EchoStateNetwork",
    "Function",
    "HardGRU",
    "Lengths",
    "LinearAttention",
    "LinearHead",
    "LinearMap",
    "LinearRecurrence",
    "Map",
    "MinGRU",
    "Normalize",
    "PeepholeLSTM",
    "Pointwise",
    "Product",
    "Reach",
    "Read",
    "Readout",
    "Rounded",
    "Select",
    "SelectiveSSM",
    "Softmax",
    "Sum",
    "VanillaRNN",
    "Zonotope",
    "activation",
    "as_function",
    "as_head",
    "gated_delta",
    "gla",
    "leaky_relu",
    "mamba2",
    "mlstm",
    "retnet",
    "rwkv7",
    "short_convolution",
    "slstm",
    "with_head",
]
