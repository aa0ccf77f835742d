r"""What stands in a described pickle of PyTorch's: its tensors by name, and what modules tell.

Main names: `Walk`, `rebuilt`.

What could hold numbers and is no tensor that is read becomes an `Unread`, so that it is refused by
its name where it belongs to a cell; nothing of that kind is passed over.
"""

from __future__ import annotations

from typing import Any, final

from theory.files.arrays import Unread
from theory.interop.formats.inert import Described, Name, Stored
from theory.interop.layouts.torch import BIDIRECTIONAL, PROJECTED
from theory.interop.told import Told

#: So many things are looked at, no deeper than this; shared ones count each time.
_BUDGET, _DEPTH = 10**6, 100

#: Attributes of a module that hold more of its names.
_INNER = ("_parameters", "_buffers", "_modules")

#: Names of arrays under which a file may have a plain number.
_SCALARS = {"leak", "W", "U", "b", "b_candidate", "A", "B", "bias"}

#: Functions that make a tensor of a storage.
_REBUILD = {"_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_tensor_v3", "_rebuild_qtensor"}

#: Modules with functions that make arrays of another kind.
_ARRAYS = ("torch._utils.", "torch.storage.", "numpy.", "array.", "jax.", "jaxlib.")


#: How old pickles make bytes.
_BYTES = {"_codecs.encode", "__builtin__.bytes", "__builtin__.bytearray", "builtins.bytearray"}


def _word(thing: Described) -> str:
    of = thing.of
    # before version 1.6 the class of a module stands beside its source
    if isinstance(of, Stored) and isinstance(of.key, tuple) and of.key[:1] == ("module",):
        of = of.key[1]
    return of.text if isinstance(of, Name) else ""


def rebuilt(thing: Any) -> tuple[Any, ...] | None:
    """Return the arguments of a call that makes a tensor of a storage, its name before them."""
    if not isinstance(thing, Described):
        return None
    before, _, last = _word(thing).rpartition(".")
    return (last, *thing.arguments) if before == "torch._utils" and last in _REBUILD else None


@final
class Walk:
    """The tensors below a thing by name, as calls that make them, or an `Unread` for each."""

    def __init__(self, tree: Any) -> None:
        self.found: dict[str, Any] = {}
        self.told: dict[str, Told] = {}
        self._left = _BUDGET
        self._numbers: dict[int, bool] = {}  # which lists are of numbers, by their identity
        self._below(tree, "", (), plain=True)

    def _add(self, name: str, thing: Any) -> None:
        if self.found.setdefault(name, thing) is not thing:
            raise ValueError(f"two arrays have the name {name!r}; which counts is not known")

    def _below(self, thing: Any, name: str, above: tuple[int, ...], *, plain: bool) -> None:
        """Find what is below a thing; attributes of an object are no weights if they are plain."""
        if id(thing) in above:
            return
        self._left -= 1 + len(name) // 1000
        if not (self._left >= 0 and len(above) <= _DEPTH):
            raise ValueError(
                f"it describes more than {_BUDGET} things, or things deeper than {_DEPTH} levels, "
                f"at {name[:80]!r}; save a state_dict() alone"
            )
        above = (*above, id(thing))
        if isinstance(thing, Described):
            self._described(thing, name, above, plain=plain)
        elif isinstance(thing, dict):
            for key, value in thing.items():
                if key == "_flat_weights":  # the weights once more
                    continue
                inner = key in _INNER and isinstance(value, dict)
                at = name if inner else f"{name}.{key}" if name else str(key)
                if key in _SCALARS and type(value) in {int, float}:
                    self._add(at, Unread("is stored as a number; save it as a tensor"))
                self._below(value, at, above, plain=plain or inner)
        elif isinstance(thing, (list, tuple)):
            if self._are_numbers(thing):
                if plain:
                    self._add(name, Unread("is stored as a list of numbers; save it as a tensor"))
                return
            for i, value in enumerate(thing):
                self._below(value, f"{name}.{i}" if name else str(i), above, plain=plain)
        elif isinstance(thing, Stored) or (plain and isinstance(thing, (bytes, bytearray))):
            self._add(name, Unread("is stored as bytes; save it as a tensor"))

    def _described(
        self, thing: Described, name: str, above: tuple[int, ...], *, plain: bool
    ) -> None:
        if rebuilt(thing) is not None:
            self._add(name, thing)
            return
        inside = _passed_on(thing)
        if inside is not thing:
            self._below(inside, name, above, plain=True)
            return
        word = _word(thing)
        state = thing.state[0] if isinstance(thing.state, tuple) and thing.state else thing.state
        held = isinstance(state, dict)
        if (word.startswith(_ARRAYS) and not held and word != "numpy.dtype") or (
            plain and word in _BYTES
        ):
            self._add(name, Unread(f"is stored as {word}; save it as a tensor"))
            return
        found, self.found = self.found, {}
        self._below(thing.arguments, name, above, plain=False)
        found, self.found = self.found, found
        if found:
            self._add(name, Unread(f"is stored as {word or 'an object'}; save it as a tensor"))
        if held:
            told = _told_of_module(word, state)
            if told is not None:
                self.told[name] = told
            self._below(state, name, above, plain=False)
        self._below(thing.items, name, above, plain=True)
        if thing.entries:
            self._below(thing.entries, name, above, plain=True)

    def _are_numbers(self, thing: list[Any] | tuple[Any, ...]) -> bool:
        if id(thing) not in self._numbers:
            first: Any = thing
            for _ in range(_DEPTH):
                if not (isinstance(first, (list, tuple)) and first):
                    break
                first = first[0]
            self._numbers[id(thing)] = type(first) in {int, float, complex} and all(
                isinstance(one, (int, float, complex, list, tuple)) for one in thing
            )
        return self._numbers[id(thing)]


def _passed_on(thing: Described) -> Any:
    """Return what a call gives back as it is, where it does: parameters, tags of types, lists."""
    word = _word(thing)
    last = word.rpartition(".")[2]
    if last in {"_rebuild_parameter", "_rebuild_parameter_with_state", "restore_type_tag"} or (
        word.startswith("torch.jit._pickle.") and last.startswith("build_")
    ):
        return thing.arguments[0]
    if last == "_rebuild_from_type_v2":
        function, _, arguments, _ = thing.arguments
        return Described(function, arguments)
    return thing


def _told_of_module(word: str, state: dict[Any, Any]) -> Told | None:
    """Return what a recurrent module says of itself beyond its arrays, if anything."""
    mode = state.get("mode")
    if "torch.nn.modules.rnn." not in word and mode not in {"LSTM", "GRU", "RNN_TANH", "RNN_RELU"}:
        return None
    kind = f"PyTorch {word.rpartition('.')[2]}"
    if state.get("bidirectional"):
        return Told(kind=kind, refused=f"has bidirectional=True: {BIDIRECTIONAL}")
    if state.get("proj_size"):
        return Told(kind=kind, refused=f"has proj_size={state['proj_size']}: {PROJECTED}")
    # what is computed follows from the mode; cells have none
    own = str(mode).startswith("RNN_")
    activation = str(mode).removeprefix("RNN_").lower() if own else state.get("nonlinearity")
    if activation is None:
        return None
    if activation not in {"tanh", "relu"}:
        return Told(kind=kind, refused=f"has nonlinearity={activation!r}, which is not known")
    return Told(kind=kind, activation=activation)
