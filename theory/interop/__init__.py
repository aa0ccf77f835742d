"""Maps from the weights of PyTorch, Keras, ONNX, JAX and reservoirpy; files of maps.

    from_torch          a module or its state dict
    from_keras          a layer or a list of weights
    from_reservoirpy    a reservoir, or a model with one
    from_hmmlearn       a fitted hidden Markov model, as a source of symbols
    from_state_space    a linear system A, B, C, D of SciPy or python-control, and its head
    from_safetensors    a file
    from_npz            a file of NumPy arrays
    load                a file of any kind: NumPy, safetensors, PyTorch, TorchScript, Keras, ONNX
    read_weights        the same under its older name
    recognised          what there is in a file, a `Recognised`: a `FoundCell` for each cell, a
                        `FoundHead` for each output layer
    from_arrays         arrays by name, in any layout that is known
    named_arrays        the arrays of a NumPy file, as they are
    named_head          the readout C of a linear system A, B, C among named arrays
    read_head           the same, of a file
    load_head           the output layer C h + d of a file of any kind, or a chain of layers
    to_onnx             the k-step counterpart of a map as a graph; `theory.torch.to_torch` a module
    save_map, load_map  a file that tells everything of a map, bit for bit

What is read is the map whose simulation is the other program's forward pass in evaluation mode, in
double precision; shorter floats are embedded exactly.  Several layers become a `Cascade`.  Every
array below the cell is used, or refused by name unless it is named in ``unused=``; what no array
tells, such as an activation, is asked for.  Nothing is unpickled, no code in a file is run, and
none of those programs is needed to read it.  Layouts are recognised by the names of the arrays, see
`theory.interop.arrays`.
"""

from theory.interop.arrays import from_arrays, named_head
from theory.interop.files import (
    from_npz,
    from_safetensors,
    load,
    named_arrays,
    read_head,
    read_weights,
)
from theory.interop.heads import load_head
from theory.interop.hmmlearn import from_hmmlearn
from theory.interop.keras import from_keras
from theory.interop.map_file import load_map, save_map
from theory.interop.reservoirpy import from_reservoirpy
from theory.interop.show import FoundCell, FoundHead, Recognised, recognised
from theory.interop.state_space import from_state_space
from theory.interop.to_onnx import to_onnx
from theory.interop.torch import from_torch

__all__ = [
    "FoundCell",
    "FoundHead",
    "Recognised",
    "from_arrays",
    "from_hmmlearn",
    "from_keras",
    "from_npz",
    "from_reservoirpy",
    "from_safetensors",
    "from_state_space",
    "from_torch",
    "load",
    "load_head",
    "load_map",
    "named_arrays",
    "named_head",
    "read_head",
    "read_weights",
    "recognised",
    "save_map",
    "to_onnx",
]
