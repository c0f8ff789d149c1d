"""The shipped surfaces have the truth that they announce, and anybody's surface can be named."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import pytest

from knobctl.errors import UsageError
from knobctl.target.families import draw
from knobctl.target.simulated import simulated_target
from knobctl.target.surfaces import SUMMARIES, SURFACES, as_action, find_surface
from knobctl.target.synthetic import SyntheticSurface


@pytest.mark.parametrize(
    ("name", "percent"), [("postgresql", 23.0), ("file-write", 206.0), ("web", 19.5), ("null", 0.0)]
)
def test_the_optimum_is_what_the_documentation_says(name: str, percent: float) -> None:
    configuration, gain = SURFACES[name].optimum()
    assert 100.0 * math.expm1(gain) == pytest.approx(percent, abs=1.0)
    assert SURFACES[name].gain(configuration) == gain
    assert bool(configuration) == (gain > 0)
    assert SUMMARIES[name]


@pytest.mark.parametrize("name", SURFACES)
def test_the_default_has_the_base_score_and_unknown_knobs_do_nothing(name: str) -> None:
    surface = SURFACES[name]
    assert surface.score(surface.default()) == pytest.approx(surface.base)
    assert surface.score({}) == pytest.approx(surface.base)
    assert surface.score({"net.nothing": 3, "demo.word": "on"}) == pytest.approx(surface.base)


@pytest.mark.parametrize("name", SURFACES)
def test_every_knob_is_in_the_default_and_inside_its_range(name: str) -> None:
    surface = SURFACES[name]
    for action in surface.action_space:
        value = surface.default()[action["param"]]
        if "values" in action:
            assert value in action["values"]
        else:
            assert action["min"] <= value <= action["max"]


def test_the_wounded_machine_is_healed_by_the_usual_values() -> None:
    surface = SURFACES["file-write"]
    usual = {"vm.dirty_ratio": 20, "vm.dirty_background_ratio": 10}
    assert surface.default() == {"vm.dirty_ratio": 2, "vm.dirty_background_ratio": 1, "vm.dirty_expire_centisecs": 3000}
    assert surface.score(usual) > 2.5 * surface.base


def test_nothing_matters_on_the_null_surface() -> None:
    surface = SURFACES["null"]
    ends = [(action["min"], action["max"]) for action in surface.action_space]
    names = [action["param"] for action in surface.action_space]
    assert {surface.score(dict(zip(names, corner, strict=True))) for corner in itertools.product(*ends)} == {1000.0}


def test_a_smaller_score_is_better_when_minimizing() -> None:
    latency = SyntheticSurface("latency", "latency_ms", "minimize", 5.0, SURFACES["file-write"].axes)
    better = {"vm.dirty_ratio": 60}
    assert latency.gain(better) > 0
    assert latency.score(better) == pytest.approx(5.0 * math.exp(-latency.gain(better)))


def test_a_shipped_surface_is_found_by_name() -> None:
    assert find_surface("web") is SURFACES["web"]


def test_a_family_is_found_by_its_name_and_seed() -> None:
    assert find_surface("family:few:3") == draw(3, knobs=10, active=2, name="family:few:3")
    assert find_surface("family:few") == find_surface("family:few:0") != find_surface("family:few:1")
    assert simulated_target("family:few:3").name == "simulated:family:few:3"


def test_an_action_may_be_an_object() -> None:
    class Level:
        param, min, max, scale = "demo.level", 0, 9, "log"

    assert as_action(Level) == {"param": "demo.level", "min": 0, "max": 9, "scale": "log"}
    assert as_action({"param": "demo.mode", "values": ["a"], "note": 1}) == {"param": "demo.mode", "values": ["a"]}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_anybodys_surface_is_found_by_module_and_object(folder: Path) -> None:
    (folder / "surface_of_mine.py").write_text(
        "class Mine:\n"
        "    action_space = [{'param': 'vm.swappiness', 'min': 0, 'max': 100}]\n"
        "    metric, direction = 'score', 'minimize'\n"
        "    def default(self): return {'vm.swappiness': 60}\n"
        "    def score(self, configuration): return 1.0\n"
        "mine = Mine()\n",
        encoding="utf-8",
    )
    assert find_surface("surface_of_mine:mine").direction == "minimize"
    assert find_surface("surface_of_mine:Mine").score({}) == 1.0


def test_a_surface_that_cannot_be_imported_says_why(folder: Path) -> None:
    with pytest.raises(UsageError, match="no_such_module:x: ModuleNotFoundError"):
        find_surface("no_such_module:x")
    with pytest.raises(UsageError, match="math:surface: AttributeError"):
        find_surface("math:surface")


def test_something_else_is_no_surface() -> None:
    with pytest.raises(UsageError, match="math:pi is no surface: it has no action_space, metric, direction, default"):
        find_surface("math:pi")


@pytest.mark.parametrize("name", ["nothing", ":x", "x:", ""])
def test_an_unknown_name_lists_the_known_ones(name: str) -> None:
    with pytest.raises(UsageError, match="unknown simulated machine") as caught:
        find_surface(name)
    assert "postgresql" in caught.value.hint
    assert "module:object" in caught.value.hint
