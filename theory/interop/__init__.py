"""Maps from other programs' weights: PyTorch, safetensors, NumPy files, Keras, reservoirpy.

    from_torch          a module or its state dict
    from_keras          a list of weights
    from_reservoirpy    a reservoir
    from_state_space    a linear system A, B, C, D of SciPy or python-control, and its head
    from_safetensors    a file
    from_npz            a file of NumPy arrays
    read_weights        a file of either kind, as the commands read it
    from_arrays         arrays by name, in any layout that is known
    named_arrays        the arrays of a NumPy file, as they are

Every function but the last returns the map whose simulation is the other program's forward pass in
evaluation mode, in double precision; shorter floats are embedded exactly.  Several layers become a
`Cascade`.  Nothing is unpickled, neither PyTorch nor any other of those programs is needed to read
arrays.  Layouts are recognised by the names of the arrays, see `theory.interop.arrays`.
"""

from theory.interop.arrays import from_arrays
from theory.interop.files import from_npz, from_safetensors, named_arrays, read_weights
from theory.interop.keras import from_keras
from theory.interop.reservoirpy import from_reservoirpy
from theory.interop.state_space import from_state_space
from theory.interop.torch import from_torch

__all__ = [
    "from_arrays",
    "from_keras",
    "from_npz",
    "from_reservoirpy",
    "from_safetensors",
    "from_state_space",
    "from_torch",
    "named_arrays",
    "read_weights",
]
