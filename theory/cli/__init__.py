"""The command line `theory`: a file for each command, `main` registers them."""

from theory.cli.main import app, main

__all__ = [
    "app",
    "main",
]
