"""SimulatedTarget: the contract, exact texts, noise that can be repeated, and benchmarks that fail."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from knobctl.errors import Busy, SafetyStop, TargetError, UsageError
from knobctl.knobs import Bound, Catalogue, Knob, Value
from knobctl.target import Target
from knobctl.target.metrics import MACHINE_METRICS
from knobctl.target.simulated import SimulatedTarget, simulated_target
from knobctl.target.surfaces import SURFACES
from knobctl.workload.base import Samples
from tests.target.contract import TargetContract


class Bowl:
    """A surface as anybody may write one: no base class, and knobs that no catalogue knows."""

    metric = "operations_per_second"
    direction = "maximize"
    action_space = (
        {"param": "demo.level", "min": 0, "max": 100},
        {"param": "demo.mode", "values": ["slow", "fast"]},
        {"param": "vm/swappiness", "min": 0, "max": 100},
    )

    def default(self) -> dict[str, Any]:
        return {"demo.level": 10.0, "demo.mode": "slow", "vm/swappiness": 30}

    def score(self, configuration: Mapping[str, Value]) -> float | None:
        level = configuration["demo.level"]
        assert isinstance(level, int)
        if configuration["vm/swappiness"] == 99:
            raise RuntimeError("server closed\nthe connection")
        if configuration["vm/swappiness"] == 98:
            return math.nan
        if configuration["vm/swappiness"] == 97:
            return None
        if configuration["vm/swappiness"] == 96:
            raise SafetyStop("memory ran out")
        return 100.0 + level + (50.0 if configuration["demo.mode"] == "fast" else 0.0)


@pytest.fixture
def bowl() -> SimulatedTarget:
    target = SimulatedTarget(Bowl(), noise=0.0)
    target.open("test")
    return target


class TestSimulatedTargetContract(TargetContract):
    def make_target(self) -> Target:
        return SimulatedTarget(SURFACES["null"])

    def same_machine(self, target: Target) -> Target:
        return target

    def change_from_outside(self, target: Target, name: str, value: Value) -> None:
        assert isinstance(target, SimulatedTarget)
        target.change_from_outside(name, value)


# --- what the machine is


def test_the_name_says_that_it_is_simulated() -> None:
    assert simulated_target("web").name == "simulated:web"
    assert simulated_target().name == "simulated:postgresql"
    assert SimulatedTarget(Bowl()).name == "simulated:Bowl"
    assert SimulatedTarget(Bowl(), name="mine").name == "simulated:mine"
    assert simulated_target().simulated
    assert simulated_target().facts().simulated


def test_an_unknown_machine_is_named_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match="unknown simulated machine 'mysql'") as caught:
        simulated_target("mysql")
    assert "postgresql, file-write, web, null" in caught.value.hint


def test_knobs_of_the_surface_alone_are_invented(bowl: SimulatedTarget) -> None:
    states = bowl.probe(["demo.level", "demo.mode"])
    assert states["demo.level"].value == 10
    assert states["demo.level"].writable
    assert states["demo.mode"].value == "slow"
    assert states["demo.mode"].choices == ("slow", "fast")
    assert bowl.catalogue["demo.level"].range_on(bowl.facts().quantities) == (0, 100)
    assert bowl.catalogue["demo.level"].risk == "safe"


def test_the_surface_decides_what_is_found_and_may_use_any_name(bowl: SimulatedTarget) -> None:
    assert bowl.probe(["vm.swappiness"])["vm.swappiness"].value == 30
    bowl.write({"vm.swappiness": 40})
    assert bowl.configuration()["vm/swappiness"] == 40


def test_a_default_outside_the_range_can_be_given_back() -> None:
    target = SimulatedTarget(SURFACES["file-write"])
    target.open("test")
    target.write({"vm.dirty_ratio": 40})
    target.write({"vm.dirty_ratio": 2})
    assert target.probe(["vm.dirty_ratio"])["vm.dirty_ratio"].value == 2


def test_the_surface_sees_knobs_that_a_run_wrote_though_it_never_spoke_of_them(bowl: SimulatedTarget) -> None:
    assert "vm.dirty_ratio" not in bowl.configuration()
    bowl.write({"vm.dirty_ratio": 33})
    assert bowl.configuration()["vm.dirty_ratio"] == 33


@pytest.mark.parametrize(
    ("action_space", "default", "message"),
    [
        ([{"min": 0, "max": 1}], {}, "has no param"),
        ([{"param": "demo.x"}], {}, "demo.x .* neither min and max nor values"),
        ([{"param": "demo.x", "min": 0, "max": 1.5}], {}, "demo.x: 1.5 is neither an integer nor a word"),
        ([{"param": "demo.x", "min": 0, "max": 1}], {"demo.x": 0.5}, "demo.x: 0.5 is neither an integer nor a word"),
    ],
)
def test_a_surface_with_senseless_knobs_is_refused(
    action_space: list[dict[str, Any]], default: dict[str, Any], message: str
) -> None:
    class Senseless(Bowl):
        def default(self) -> dict[str, Any]:
            return default

    surface = Senseless()
    surface.action_space = action_space  # type: ignore[assignment]
    with pytest.raises(UsageError, match=message):
        SimulatedTarget(surface)


# --- files in memory


def vector_catalogue() -> Catalogue:
    def field(name: str, index: int, default: int) -> Knob:
        return Knob(
            f"net.ipv4.tcp_wmem[{name}]",
            "/proc/sys/net/ipv4/tcp_wmem",
            "integer",
            "s",
            "w",
            "s",
            minimum=Bound(constant=1),
            maximum=Bound(constant=10_000_000),
            field=index,
            default=default,
        )

    scheduler = Knob(
        "block.scheduler", "/sys/block/{disk}/queue/scheduler", "choice", "s", "w", "s",
        choices=("none", "mq-deadline"), default="mq-deadline",
    )  # fmt: skip
    governor = Knob(
        "net.ipv4.tcp_congestion_control", "/proc/sys/net/ipv4/tcp_congestion_control", "choice", "s", "w", "s",
        choices=("cubic", "bbr"), default="cubic",
    )  # fmt: skip
    forbidden = Knob(
        "kernel.panic", "/proc/sys/kernel/panic", "integer", "s", "w", "s", risk="forbidden", risk_reason="no"
    )
    return Catalogue([field("min", 0, 4096), field("max", 2, 4_194_304), scheduler, governor, forbidden])


def test_texts_are_those_of_a_kernel() -> None:
    target = SimulatedTarget(Bowl(), catalogue=vector_catalogue())
    states = target.probe()
    assert states["net.ipv4.tcp_wmem[max]"].raw == "4096\t0\t4194304"
    assert states["block.scheduler"].raw == "none [mq-deadline]"
    assert states["block.scheduler"].paths == ("/sys/block/sim0/queue/scheduler",)
    assert states["net.ipv4.tcp_congestion_control"].raw == "cubic"
    assert not states["kernel.panic"].present


def test_one_field_of_a_vector_is_written_and_all_of_it_restored() -> None:
    target = SimulatedTarget(Bowl(), catalogue=vector_catalogue())
    target.open("test")
    target.write({"net.ipv4.tcp_wmem[max]": 5_000_000, "block.scheduler": "none"})
    assert target.probe()["net.ipv4.tcp_wmem[min]"].raw == "4096 0 5000000"
    assert target.probe()["block.scheduler"].raw == "[none] mq-deadline"
    report = target.restore()
    assert [knob.found for knob in report.knobs] == ["4096 0 4194304", "mq-deadline"]
    assert target.probe()["net.ipv4.tcp_wmem[min]"].raw == "4096\t0\t4194304"
    assert target.probe()["block.scheduler"].value == "mq-deadline"


def test_a_machine_that_uses_bytes_still_does_afterwards() -> None:
    class UsesBytes(Bowl):
        def default(self) -> dict[str, Any]:
            return {**super().default(), "vm.dirty_bytes": 2**28}

    target = SimulatedTarget(UsesBytes())
    found = {name: target.probe([name])[name].value for name in ("vm.dirty_bytes", "vm.dirty_ratio")}
    assert found == {"vm.dirty_bytes": 2**28, "vm.dirty_ratio": 0}
    target.open("test")
    target.write({"vm.dirty_ratio": 40})
    assert target.probe(["vm.dirty_bytes"])["vm.dirty_bytes"].value == 0
    target.close()
    assert {name: target.probe([name])[name].value for name in found} == found


# --- the benchmark


def test_a_run_takes_virtual_time_and_prints_progress(bowl: SimulatedTarget) -> None:
    seen: list[tuple[float, int]] = []

    def on_progress(fraction: float, samples: Samples) -> bool:
        seen.append((fraction, len(samples)))
        return False

    result = bowl.evaluate(on_progress)
    assert result.score == 110.0
    assert result.failure == ""
    assert result.seconds == bowl.clock.monotonic() == 5.0
    assert result.samples == tuple((float(second), 110.0) for second in range(1, 6))
    assert [fraction for fraction, _ in seen] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert [count for _, count in seen] == [1, 2, 3, 4, 5]
    assert set(result.machine) == {metric.name for metric in MACHINE_METRICS}


def test_a_run_can_be_cut_short(bowl: SimulatedTarget) -> None:
    result = bowl.evaluate(lambda fraction, score: fraction > 0.5)
    assert result.score is None
    assert result.failure == ""
    assert result.seconds == bowl.clock.monotonic() == 3.0
    assert len(result.samples) == 3


@pytest.mark.parametrize(
    ("swappiness", "failure"),
    [
        (99, "the simulated benchmark failed: RuntimeError: server closed the connection"),
        (98, "the simulated benchmark failed: its score is nan"),
        (97, "the simulated benchmark failed: its score is None"),
    ],
)
def test_a_surface_may_fail(bowl: SimulatedTarget, swappiness: int, failure: str) -> None:
    bowl.write({"vm.swappiness": swappiness})
    result = bowl.evaluate()
    assert result.score is None
    assert result.failure == failure
    assert result.seconds == 5.0


def test_a_surface_may_play_a_guard_that_trips(bowl: SimulatedTarget) -> None:
    bowl.write({"vm.swappiness": 96})
    with pytest.raises(SafetyStop, match="memory ran out"):
        bowl.evaluate()


def test_the_benchmark_needs_an_open_target() -> None:
    with pytest.raises(TargetError, match="simulated:Bowl is not open"):
        SimulatedTarget(Bowl()).evaluate()


def test_noise_is_log_normal_of_the_size_that_was_asked_for() -> None:
    target = SimulatedTarget(SURFACES["null"], noise=0.05, seed=1)
    target.open("test")
    runs = [target.evaluate() for _ in range(400)]
    logs = np.log([run.score for run in runs if run.score is not None])
    assert logs.mean() == pytest.approx(math.log(1000), abs=0.01)
    assert logs.std() == pytest.approx(0.05, rel=0.15)
    within = [math.log(value / run.score) for run in runs if run.score for _, value in run.samples]
    assert np.std(within) == pytest.approx(0.05, rel=0.1)


def test_same_seed_same_numbers() -> None:
    def scores(seed: int) -> list[float | None]:
        target = SimulatedTarget(SURFACES["null"], seed=seed)
        target.open("test")
        return [target.evaluate().score for _ in range(3)]

    assert scores(3) == scores(3)
    assert scores(3) != scores(4)


def test_a_failed_run_does_not_shift_the_noise_of_the_next() -> None:
    def second_score(first_swappiness: int) -> float | None:
        target = SimulatedTarget(Bowl(), noise=0.1, seed=5)
        target.open("test")
        target.write({"vm.swappiness": first_swappiness})
        target.evaluate()
        target.restore()
        return target.evaluate().score

    assert second_score(99) == second_score(50)


# --- the rest of a target


def test_programs_and_the_work_folder_look_as_if_they_were_there(bowl: SimulatedTarget) -> None:
    assert bowl.which("pgbench").endswith("/pgbench")
    assert bowl.folder == "/simulated/test"
    bowl.close()
    with pytest.raises(TargetError, match="not open"):
        _ = bowl.folder


def test_the_lock_names_the_session_that_holds_it(bowl: SimulatedTarget) -> None:
    with pytest.raises(Busy, match="session test is using simulated:Bowl"):
        bowl.open("other")


def test_probing_an_unknown_knob_suggests_known_ones(bowl: SimulatedTarget) -> None:
    with pytest.raises(UsageError, match=r"unknown knob vm\.swapiness") as caught:
        bowl.probe(["vm.swapiness"])
    assert "vm.swappiness" in caught.value.hint
