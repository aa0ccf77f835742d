"""Make the shared helpers importable as `questions`, with pytest's explanations of assertions."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
pytest.register_assert_rewrite("questions")
