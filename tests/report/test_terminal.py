"""Events in, what a terminal or a file shows out."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import re
import struct
import sys
import termios
import threading
from collections.abc import Callable

import pytest

from knobctl import events
from knobctl.report.terminal import terminal_view

Run = Callable[..., list[events.Event]]
ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def lines(stream: list[events.Event], quiet: bool = False, verbose: int = 0) -> list[str]:
    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    with terminal_view(quiet=quiet, verbose=verbose, stream=out, environ={"TERM": "xterm"}) as emit:
        for event in stream:
            emit(event)
    out.seek(0)
    return out.read().splitlines()


def on_a_terminal(stream: list[events.Event], environ: dict[str, str], columns: int = 100) -> str:
    """Everything that a real pseudo-terminal received."""
    leader, follower = pty.openpty()
    received: list[bytes] = []

    def drain() -> None:
        while True:
            try:
                chunk = os.read(leader, 65536)
            except OSError:
                return
            if not chunk:
                return
            received.append(chunk)

    reader = threading.Thread(target=drain)
    reader.start()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    with (
        os.fdopen(follower, "w", encoding="utf-8") as terminal,
        terminal_view(stream=terminal, environ=environ) as emit,
    ):
        for event in stream:
            emit(event)
    reader.join(timeout=10)
    os.close(leader)
    return b"".join(received).decode()


def test_a_file_gets_one_plain_line_per_thing_that_happened(run: Run) -> None:
    assert lines(run()) == [
        "session 20261122-184500-a1b2: PostgreSQL OLTP on local",
        "  measuring transactions_per_second (1/s, higher is better)",
        "  with pgbench -c 50 testdb",
        "  searcher ppo, 2 trials",
        "preflight: measuring the machine as it is, 1 runs, about 12 min left",
        "  1/1 as found: 4,000 1/s, about 11 min left",
        "  baseline 4,000 1/s, noise between runs 3.1 %",
        "  this budget (12 pairs) can prove effects of about 5.2 % or more",
        "search: ppo tries up to 2 configurations, 2 runs, about 10 min left",
        "  1/2 search: 4,500 1/s | vm.dirty_ratio=40 | best so far +12.5 % (unverified), about 9 min 20 s left",
        "  2/2 search: FAILED: exit code 1: no such database | vm.swappiness=1 | best so far +12.5 % (unverified), "
        "about 8 min 20 s left",
        "warning: the [bold]disk is slow",
        "note: one update of the policy",
        "  the search proposes vm.dirty_ratio=40; it claims +12.5 %, unverified",
        "verify: up to 2 fresh pairs, 4 runs, about 2 min left",
        "  pair 1/2: 4,000 as found, 4,300 candidate: +7.5 %; no interval yet",
        "  pair 2/2: 4,000 as found, 4,340 candidate: +8.5 %; 95 % interval +5.2 % to +11.0 %",
        "restore: putting every knob back",
        "  restored: 2 kernel files were looked at again",
        "warning: /proc/sys/vm/swappiness was changed by somebody else; left alone",
    ]


def test_every_line_of_a_simulation_says_so(run: Run) -> None:
    told = lines(run(simulated=True), verbose=1)
    assert told[0] == "SIMULATED session 20261122-184500-a1b2: PostgreSQL OLTP on simulated:postgresql"
    assert all(line.startswith("SIMULATED ") for line in told)


def test_quiet_tells_only_warnings(run: Run) -> None:
    assert lines(run(), quiet=True) == [
        "warning: the [bold]disk is slow",
        "warning: /proc/sys/vm/swappiness was changed by somebody else; left alone",
    ]


def test_verbose_tells_what_each_trial_printed(run: Run) -> None:
    told = lines(run(), verbose=1)
    assert "  start 1/2 vm.dirty_ratio=40" in told
    assert "      printed latency_average=2.410" in told
    assert "      machine cpu_utilization=88.00" in told
    assert len(told) > len(lines(run()))


def test_a_machine_that_is_not_back_is_a_warning_at_every_level() -> None:
    stream: list[events.Event] = [events.MachineRestored(False, 1, (), ("echo '20' > /proc/sys/vm/dirty_ratio",))]
    for quiet in (False, True):
        assert lines(stream, quiet=quiet) == [
            "warning: NOT EVERY KNOB IS BACK. Paste as root:",
            "  echo '20' > /proc/sys/vm/dirty_ratio",
        ]


def test_the_candidate_is_not_repeated_in_every_line_of_its_verification(run: Run) -> None:
    done = next(event for event in run() if isinstance(event, events.TrialDone) and event.trial.configuration)
    verify = events.PhaseStarted("verify", 4, 0.0, "fresh pairs")
    assert lines([verify, done])[1] == "  1/2 search: 4,500, about 9 min 20 s left"


def test_an_empty_candidate_and_hopeless_noise_are_told_as_such() -> None:
    assert lines([events.CandidateChosen({}, None, None), events.NoiseMeasured(10.0, 90.0, 1e9, 4)]) == [
        "  the search proposes nothing but what was found",
        "  baseline 10.00, noise between runs 90.0 %; 4 pairs prove nothing at this noise",
    ]


def test_characters_that_a_stream_cannot_hold_do_not_end_the_run() -> None:
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    with terminal_view(stream=out, environ={}) as emit:
        emit(events.Notice("慢"))
    out.seek(0)
    assert out.read() == "note: ?\n"


def test_a_reader_that_went_away_does_not_end_the_run(run: Run) -> None:
    read, write = os.pipe()
    os.close(read)
    told = 0
    pipe = open(write, "w", encoding="utf-8", buffering=1)  # noqa: SIM115 - closing it fails, as it should
    with terminal_view(stream=pipe, environ={}) as emit:
        for event in run():
            emit(event)
            told += 1
    assert told == len(run())
    with pytest.raises(BrokenPipeError):
        pipe.close()


@pytest.mark.parametrize("environ", [{"TERM": "dumb"}, {}])
def test_a_dumb_terminal_gets_plain_lines(run: Run, environ: dict[str, str]) -> None:
    shown = on_a_terminal(run(), environ)
    assert "\x1b" not in shown
    assert shown.replace("\r", "").splitlines() == lines(run())


def test_a_terminal_shows_what_is_going_on_below_what_is_done(run: Run) -> None:
    raw = on_a_terminal(run(), {"TERM": "xterm-256color"})
    shown = ESCAPE.sub("", raw)
    assert "preflight 1/1  as found" in shown
    assert "search 2/2  search: vm.swappiness=1" in shown
    assert "3,999 1/s" in shown, "the score while the trial runs"
    assert "best so far +12.5 % (unverified)" in shown
    assert "about 10 min left" in shown
    assert "  pair 2/2: 4,000 as found, 4,340 candidate: +8.5 %" in shown
    assert "exit code 1: no such database" in shown
    assert "[bold]disk is slow" in shown, "markup of others is text"
    assert "\x1b[2J" not in raw and "\x1b[31mno such" not in raw, "escapes of others are gone"
    assert "\x1b[33m" in raw, "warnings have a colour"
    assert raw.rindex("\x1b[?25h") > raw.find("\x1b[?25l"), "the cursor is visible"


def test_no_color_is_honoured(run: Run) -> None:
    raw = on_a_terminal(run(), {"TERM": "xterm-256color", "NO_COLOR": "1"})
    assert "warning: the [bold]disk is slow" in ESCAPE.sub("", raw)
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]m", raw)


def test_a_simulation_on_a_terminal_says_so_in_the_live_part_too(run: Run) -> None:
    shown = ESCAPE.sub("", on_a_terminal(run(simulated=True), {"TERM": "xterm"}))
    assert "SIMULATED search 1/2" in shown


def test_standard_output_is_left_alone() -> None:
    before = sys.stdout, sys.stderr
    leader, follower = pty.openpty()
    with (
        os.fdopen(leader, "rb", buffering=0),
        os.fdopen(follower, "w") as terminal,
        terminal_view(stream=terminal, environ={"TERM": "xterm"}),
    ):
        assert (sys.stdout, sys.stderr) == before
