"""The sources of noise that a preflight can see, each with what to do about it."""

from __future__ import annotations

from collections.abc import Mapping

from knobctl.events import Trial
from knobctl.measure.sources import noise_sources


def run(values: tuple[float, ...] = (), **machine: float) -> Trial:
    samples = tuple((float(second), value) for second, value in enumerate(values, 1))
    return Trial(0, "baseline", {}, 100.0, {}, machine, samples, 20.0, None, "", 0.0)


def the_one(trials: list[Trial], idle: Mapping[str, float] | None = None, jobs: tuple[str, ...] = ()) -> str:
    (text,) = noise_sources(trials, idle, jobs)
    assert ":" in text, "it says what to do"
    return text


def test_a_quiet_machine_has_none() -> None:
    steady = tuple(100.0 + second % 3 for second in range(20))
    assert noise_sources([run(steady, steal=1.0, swap_rate=0.2)] * 3, {"cpu_utilization": 4.0}) == ()
    assert noise_sources([]) == ()


def test_a_hypervisor_that_gives_time_to_others() -> None:
    assert the_one([run(steal=2.0), run(steal=12.0)]).startswith(
        "the hypervisor gave 12 % of the CPU time to other guests: "
    )


def test_other_work_on_the_machine() -> None:
    text = the_one([run()], {"cpu_utilization": 43.0})
    assert text.startswith("the processors were 43 % busy while no benchmark ran: find out with `top`")


def test_swapping() -> None:
    assert the_one([run(swap_rate=250.0)]).startswith("250 pages per second were swapped: free memory")


def test_checkpoints_show_as_seconds_in_which_hardly_anything_happens() -> None:
    dipped = (100.0,) * 9 + (10.0,) + (100.0,) * 9 + (20.0,)
    text = the_one([run(dipped, disk_write=80.0)] * 2 + [run((100.0,) * 20, disk_write=80.0)])
    assert text.startswith(
        "in 4 of 60 seconds the score fell below half of its usual value while 80 MiB/s were written: checkpoints or "
        "writeback"
    )


def test_one_odd_run_is_no_pattern() -> None:
    dipped = (100.0,) * 15 + (10.0,) * 5
    assert noise_sources([run(dipped), run((100.0,) * 20), run((100.0,) * 20)]) == ()


def test_jobs_of_cron_are_named() -> None:
    assert the_one([run()], jobs=("updatedb",)) == (
        "updatedb is running, started by cron, a timer or a person: wait for the end."
    )
    assert the_one([run()], jobs=("apt", "rsync")).startswith("apt, rsync are running")
