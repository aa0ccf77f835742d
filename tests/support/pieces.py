"""Pieces of work that workers import, some of which end them."""

import os
import signal
import time
from pathlib import Path


def square(x):
    return x * x


def fail_at_two(x):
    if x == 2:
        raise ZeroDivisionError("two")
    return x


def die_once(piece):
    """Kill the own process at the marked piece, the first time."""
    number, marker = piece
    if number == 3 and _first(marker):
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.01)
    return number


def die_always(piece):
    number, _ = piece
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def hang_once(piece):
    """Stop the own process at the marked piece, the first time; it never goes on by itself."""
    number, marker = piece
    if number == 3 and _first(marker):
        os.kill(os.getpid(), signal.SIGSTOP)
    return number


def slow(x):
    time.sleep(0.3)
    return x


def _first(marker):
    try:
        Path(marker).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True
