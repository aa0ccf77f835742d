"""The report of a campaign, as text and in a browser."""

from __future__ import annotations

import importlib.util
import re

import pytest
from browser import browser, look

from theory.campaign.recipes.table import RECIPES
from theory.campaign.report import html_report, number
from theory.campaign.results import summarize
from theory.campaign.runner import execute
from theory.campaign.tasks import Config
from theory.pictures import COLOURS

pytest.importorskip("jinja2", reason="reports need the extra report")
pytest.importorskip("matplotlib", reason="reports need the extra report")


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    config = Config(
        instances=len(RECIPES), seed=0, only=("state_gap", "window_error"), sequences=""
    )
    results = [execute(task, config.theorems, None) for task in config.tasks(0)[:12]]
    rows = summarize(config.theorems, results)
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(html_report(rows, config, command="theory verify"), encoding="utf-8")
    return path


@pytest.mark.parametrize("distance", [3e-4, 1e-4, 1e-7, -3e-5, -1e-9])
def test_a_ratio_near_one_is_not_printed_as_one(distance):
    assert number(1 + distance) != "1"
    assert number(1.0) == "1"


def test_it_says_when_where_and_by_which_command_and_refers_to_nothing_outside(page):
    text = page.read_text(encoding="utf-8")
    assert re.search(r"Made on \d{4}-\d\d-\d\d; .*Python 3.*<code>theory verify</code>", text)
    assert 'name="viewport"' in text
    assert not re.search(r"(?:src|href)=\"(?!data:|#)", text)
    for inner in re.findall(r"href=\"#([^\"]+)\"", text):
        assert f'id="{inner}"' in text
    formulas = 2 if importlib.util.find_spec("latex2mathml") else 0
    assert text.count("<math ") == formulas


def test_colours_go_with_the_kind_of_instance():
    kinds = ("random", "witnesses and search", "your sequences")
    assert len({COLOURS[kind] for kind in kinds}) == 3


@pytest.mark.parametrize("width", [400, 1280])
def test_in_a_browser_nothing_is_lost_or_runs_out_of_the_page(page, width):
    with browser() as opened:
        seen = look(opened, page, width=width)
    assert seen.complaints == []
    assert seen.width <= width
    assert seen.pictures == 2
    assert seen.lost == []
    assert seen.formulas == page.read_text(encoding="utf-8").count("<math ")
