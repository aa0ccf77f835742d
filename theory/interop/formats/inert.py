r"""What a pickle describes, without making any of it.

Main names: `describe`, `Described`, `Name`, `Stored`.

A pickle is a program of a stack machine that may call any function.  Here its instructions are
walked through by `pickletools`, which reads them and runs none: where a function would be called
the call itself is kept, as a value.  Only plain containers, numbers and texts become what they are.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import IO, Any, final


@final
@dataclass(frozen=True)
class Name:
    """The full name of a function or a class, as in torch.FloatStorage."""

    text: str


@final
@dataclass(eq=False)
class Described:
    """A call that was not made: of what, with which arguments, and what would be set in it."""

    of: Any
    arguments: Any = ()
    state: Any = None
    items: dict[Any, Any] = field(default_factory=dict)
    entries: list[Any] = field(default_factory=list)


@final
@dataclass(frozen=True, eq=False)
class Stored:
    """What is kept outside of the pickle, by its key there."""

    key: Any


class _Mark:
    """Where a sequence on the stack begins."""


#: Instructions whose argument is the value itself.
_VALUES = {
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT",
    "STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE",
    "BINUNICODE8", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8",
}  # fmt: skip
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_EMPTY: dict[str, Callable[[], Any]] = {
    "EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple, "EMPTY_SET": list,
}  # fmt: skip
_NO_EFFECT = {"PROTO", "FRAME"}


def describe(stream: IO[bytes]) -> Any:
    """Return what the pickle at the stream's place describes; the place is then behind it.

    Raises
    ------
    ValueError
        If it is damaged, or uses an instruction that no file of weights needs.
    """
    stack: list[Any] = []
    memo: dict[int, Any] = {}
    try:
        for code, argument, _ in pickletools.genops(stream):
            if code.name == "STOP":
                return stack.pop()
            _step(code.name, argument, stack, memo)
    except (IndexError, KeyError, TypeError, AttributeError, UnicodeError) as error:
        raise ValueError(f"its pickle is damaged: {type(error).__name__} {error}") from None
    except ValueError as error:
        raise ValueError(f"its pickle cannot be read: {error}") from None
    raise ValueError("its pickle cannot be read: it has no end")


def _step(code: str, argument: Any, stack: list[Any], memo: dict[int, Any]) -> None:
    """Follow one instruction; what it would call becomes a `Described`."""
    part: Any
    if code in _NO_EFFECT:
        return
    if code in _VALUES:
        stack.append(argument)
    elif code in _CONSTANTS:
        stack.append(_CONSTANTS[code])
    elif code in _EMPTY:
        stack.append(_EMPTY[code]())
    elif code == "MARK":
        stack.append(_Mark())
    elif code in {"BINPUT", "LONG_BINPUT", "PUT"}:
        memo[argument] = stack[-1]
    elif code == "MEMOIZE":
        memo[len(memo)] = stack[-1]
    elif code in {"BINGET", "LONG_BINGET", "GET"}:
        stack.append(memo[argument])
    elif code in {"TUPLE1", "TUPLE2", "TUPLE3"}:
        count = int(code[-1])
        part = tuple(stack[-count:])
        del stack[-count:]
        stack.append(part)
    elif code in {"TUPLE", "LIST", "FROZENSET"}:
        part = _above_mark(stack)
        stack.append(tuple(part) if code == "TUPLE" else part)
    elif code == "DICT":
        part = _above_mark(stack)
        stack.append(_with_pairs({}, part))
    elif code in {"APPEND", "APPENDS", "ADDITEMS"}:
        part = [stack.pop()] if code == "APPEND" else _above_mark(stack)
        last = stack[-1]
        (last.entries if isinstance(last, Described) else last).extend(part)
    elif code in {"SETITEM", "SETITEMS"}:
        part = [stack.pop(-2), stack.pop()] if code == "SETITEM" else _above_mark(stack)
        last = stack[-1]
        _with_pairs(last.items if isinstance(last, Described) else last, part)
    elif code == "GLOBAL":
        stack.append(Name(argument.replace(" ", ".")))
    elif code == "STACK_GLOBAL":
        name, module = stack.pop(), stack.pop()
        stack.append(Name(f"{module}.{name}"))
    elif code in {"REDUCE", "NEWOBJ"}:
        arguments, of = stack.pop(), stack.pop()
        stack.append(_called(of, arguments))
    elif code == "NEWOBJ_EX":
        stack.pop()
        arguments, of = stack.pop(), stack.pop()
        stack.append(_called(of, arguments))
    elif code == "BUILD":
        state = stack.pop()
        if isinstance(stack[-1], Described):
            stack[-1].state = state
    elif code in {"BINPERSID", "PERSID"}:
        stack.append(Stored(argument if code == "PERSID" else stack.pop()))
    elif code == "POP":
        stack.pop()
    elif code == "POP_MARK":
        _above_mark(stack)
    elif code == "DUP":
        stack.append(stack[-1])
    else:
        raise ValueError(f"it has the instruction {code}, which no file of weights needs")


def _called(of: Any, arguments: Any) -> Any:
    """Return a call as a value; an ordered dictionary is one, of its pairs."""
    if of == Name("collections.OrderedDict") and not (arguments and arguments[0]):
        return {}
    return Described(of, arguments)


def _above_mark(stack: list[Any]) -> list[Any]:
    at = len(stack) - 1
    while not isinstance(stack[at], _Mark):
        at -= 1
        if at < 0:
            raise IndexError("no mark")
    part = stack[at + 1 :]
    del stack[at:]
    return part


def _with_pairs(held: dict[Any, Any], part: list[Any]) -> dict[Any, Any]:
    """Put pairs into a dictionary; a key that is no text or number gets a name of its own.

    Only the hash of a text or a number is cheap: that of tuples that share parts is not.
    """
    for key, value in zip(part[::2], part[1::2], strict=True):
        plain = isinstance(key, (str, int, float))
        held[key if plain else f"<{type(key).__name__} {len(held)}>"] = value
    return held
