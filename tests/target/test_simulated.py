"""SimulatedTarget: the contract, exact texts, noise that can be repeated, and benchmarks that fail."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from knobctl.errors import Busy, SafetyStop, TargetError, UsageError
from knobctl.knobs import Bound, Catalogue, Knob, Value
from knobctl.target import Target
from knobctl.target.metrics import MACHINE_METRICS
from knobctl.target.noise import NoiseModel
from knobctl.target.simulated import FACTS, Evaluation, SimulatedTarget, simulated_target
from knobctl.target.surfaces import SURFACES
from knobctl.target.synthetic import Axis, Choice, SyntheticSurface
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
    result = bowl.evaluate(lambda fraction, samples: fraction > 0.5)
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
    within = [[math.log(value) for _, value in run.samples] for run in runs]
    assert math.sqrt(np.var(within, axis=1, ddof=1).mean()) == pytest.approx(0.05, rel=0.1)


def test_same_seed_same_numbers() -> None:
    def scores(seed: int) -> list[float | None]:
        target = SimulatedTarget(SURFACES["null"], seed=seed)
        target.open("test")
        return [target.evaluate().score for _ in range(3)]

    assert scores(3) == scores(3)
    assert scores(3) != scores(4)


@pytest.mark.parametrize("noise", ["vm", 0.05])
def test_the_score_is_the_mean_of_what_the_progress_lines_say(noise: str | float) -> None:
    target = SimulatedTarget(SURFACES["null"], noise, seed=1, run_seconds=30.0)
    target.open("test")
    for _ in range(5):
        run = target.evaluate()
        assert run.score == pytest.approx(np.mean([value for _, value in run.samples]))


def test_a_session_that_goes_on_meets_the_noise_of_one_that_was_not_cut_off() -> None:
    def opened() -> SimulatedTarget:
        target = SimulatedTarget(SURFACES["null"], "hostile", seed=4, run_seconds=30.0)
        target.open("test")
        return target

    def run(target: SimulatedTarget) -> Evaluation:
        target.reset_benchmark()
        return target.evaluate()

    whole, cut = opened(), opened()
    for _ in range(100):
        run(whole)
    cut.resume(100, whole.clock.monotonic())
    assert cut.clock.monotonic() == 3100.0
    assert [run(cut) for _ in range(5)] == [run(whole) for _ in range(5)]


def test_what_was_cut_short_does_not_change_the_luck_of_the_next_run() -> None:
    def second(cut: bool) -> Evaluation:
        target = SimulatedTarget(SURFACES["null"], 0.05, seed=4, run_seconds=30.0)
        target.open("test")
        target.evaluate(lambda fraction, samples: cut)
        return target.evaluate()

    assert second(cut=True) == second(cut=False)


def test_bad_luck_is_bad_whichever_way_is_better() -> None:
    slow = NoiseModel(outliers=1.0, outlier_spread=0.3)
    axes = (Axis("demo.x", 1, None, 0, 9),)
    for direction, worse in (("maximize", lambda score: score < 5.0), ("minimize", lambda score: score > 5.0)):
        target = SimulatedTarget(SyntheticSurface("one", "score", direction, 5.0, axes), slow)
        target.open("test")
        assert all(worse(target.evaluate().score) for _ in range(5))


def test_an_unknown_noise_is_named_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match="unknown noise 'loud'") as caught:
        SimulatedTarget(SURFACES["null"], "loud")
    assert "still, quiet, vm, hostile" in caught.value.hint


# --- machines with a memory


def with_memory(**memory: Any) -> SimulatedTarget:
    axis = Axis("demo.x", 0, Choice({1: math.log(2.0)}), values=(0, 1))
    surface = SyntheticSurface("memory", "score", "maximize", 100.0, (axis,), **memory)
    target = SimulatedTarget(surface, "still", run_seconds=10.0, overhead_seconds=0.0)
    target.open("test")
    return target


def test_half_of_the_last_effect_leaks_into_the_next_run_and_fades() -> None:
    target = with_memory(carry_over=0.5, carry_over_seconds=10.0)
    target.write({"demo.x": 1})
    assert target.evaluate().score == pytest.approx(200.0), "nothing came before it"
    target.restore()
    values = [value for _, value in target.evaluate().samples]
    fading = [100.0 * 2.0 ** (0.5 * math.exp(-second / 10.0)) for second in range(1, 11)]
    assert values == pytest.approx(fading)
    target.clock.sleep(1000.0)
    assert target.evaluate().score == pytest.approx(100.0)


def test_a_machine_wears_down_until_it_is_reset() -> None:
    target = with_memory(wear=0.1)
    scores = [target.evaluate().score for _ in range(3)]
    assert scores == pytest.approx([100.0 * math.exp(-0.1 * run) for run in range(3)])
    target.reset_benchmark()
    assert target.evaluate().score == pytest.approx(100.0)


def test_a_reset_that_does_not_hold_brings_nothing_back() -> None:
    target = with_memory(wear=0.1, reset_holds=False)
    target.evaluate()
    target.reset_benchmark()
    assert target.evaluate().score == pytest.approx(100.0 * math.exp(-0.1))


def test_a_reset_takes_virtual_time() -> None:
    target = SimulatedTarget(Bowl(), overhead_seconds=2.5)
    with pytest.raises(TargetError, match="is not open"):
        target.reset_benchmark()
    target.open("test")
    target.reset_benchmark()
    assert target.clock.monotonic() == 2.5


# --- the truth


def test_the_truth_can_be_asked_for_and_nothing_is_left_changed(bowl: SimulatedTarget) -> None:
    assert bowl.truth({}) == 110.0
    assert bowl.truth({"demo.level": 60, "demo.mode": "fast"}) == 210.0
    assert bowl.truth({"vm.swappiness": 97}) is None
    assert bowl.truth({}) == 110.0
    assert bowl.clock.monotonic() == 0.0


def test_a_surface_says_what_its_machine_is() -> None:
    class Big(Bowl):
        facts = replace(FACTS, cores=64)

    assert SimulatedTarget(Big()).facts().cores == 64
    assert SimulatedTarget(Big(), facts=FACTS).facts().cores == FACTS.cores


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
