"""Campaign files: read without trusting them.

Main names: `read_campaign`, `FORMAT`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from theory.campaign.results import Result
from theory.campaign.tasks import Config, Task
from theory.theorems import THEOREMS
from theory.theorems.theorem import Theorem
from theory.trials.table import trial_of
from theory.trials.trial import NearMiss
from theory.trials.verdict import Verdict

FORMAT = "stable-recurrent-models campaign 1"


def read_campaign(path: str | Path) -> tuple[dict[str, Any], dict[str, Result]]:
    """Return the description and the results in a campaign file, checked.

    Raises
    ------
    ValueError
        If it cannot be read, is something else, or is damaged.
    """
    file = Path(path)
    try:
        data = json.loads(file.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        # the system's words for a missing file repeat its name
        told = (error.strerror if isinstance(error, OSError) else None) or error
        raise ValueError(f"{file} cannot be read as a campaign: {told}") from None
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise ValueError(
            f"{file} is not a campaign file of format {FORMAT!r}; `theory verify --json` writes one"
        )
    try:
        described = dict(data["config"])
        config_of(described)
        results = {key: _result_of(entry) for key, entry in data["results"].items()}
        str(described["version"])
        return described, results
    except (KeyError, TypeError, AttributeError, StopIteration) as error:
        raise ValueError(f"{file} is damaged: {error!r}; run the campaign again") from None


def config_of(described: dict[str, Any]) -> Config:
    """Return the configuration that a campaign file describes."""
    fields = {name: described[name] for name in Config.__dataclass_fields__}
    return Config(**{**fields, "only": tuple(fields["only"])})


def _result_of(entry: dict[str, Any]) -> Result:
    """Return a result whose verdicts and names are all what they should be."""
    result = Result(**entry)
    Task(**result.task)
    for data in result.verdicts:
        float(result.seconds[find_theorem(Verdict.from_dict(data).theorem).name])
    for data in result.near_misses:
        Verdict.from_dict(data["verdict"])
        find_near_miss(find_theorem(data["theorem"]), data["name"])
    return result


def find_theorem(name: str) -> Theorem:
    """Return the theorem of a name."""
    return next(t for t in THEOREMS if t.name == name)


def find_near_miss(theorem: Theorem, name: str) -> NearMiss:
    """Return the near miss of a name."""
    return next(nm for nm in trial_of(theorem).near_misses if nm.name == name)
