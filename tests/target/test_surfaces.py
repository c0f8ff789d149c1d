"""The shipped surfaces have the truth that they announce, and anybody's surface can be named."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import pytest

from knobctl.errors import UsageError
from knobctl.knobs import Value
from knobctl.target.surfaces import SURFACES, SyntheticSurface, find_surface


def best_percent(surface: SyntheticSurface) -> float:
    """The optimum, knob by knob: the effects are independent."""

    def candidates(action: dict[str, object]) -> list[Value]:
        if "values" in action:
            return list(action["values"])  # type: ignore[call-overload]
        low, high = int(str(action["min"])), int(str(action["max"]))
        return [low + (high - low) * step // 2000 for step in range(2001)]

    total = sum(
        max(surface.gain({action["param"]: value}) for value in candidates(action)) for action in surface.action_space
    )
    return 100.0 * math.expm1(total)


@pytest.mark.parametrize(
    ("name", "percent"), [("postgresql", 23.0), ("file-write", 206.0), ("web", 19.5), ("null", 0.0)]
)
def test_the_optimum_is_what_the_documentation_says(name: str, percent: float) -> None:
    assert best_percent(SURFACES[name]) == pytest.approx(percent, abs=1.0)


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
