"""Lines, their history, and signals. What needs a real terminal is in test_terminal.py."""

from __future__ import annotations

import os
import signal
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from knobctl.chat.line import REMEMBERED, History, Interrupts, brief_step, looks_secret
from knobctl.errors import Interrupted
from knobctl.events import StrategistStep

# --- history


def test_lines_are_remembered_for_the_next_conversation(tmp_path: Path) -> None:
    path = tmp_path / "state" / "chat-history"
    history = History(path)
    assert history.lines == ()
    assert history.add("optimize postgres")
    assert history.add("为什么?")
    assert not history.add("为什么?"), "the same line again"
    assert not history.add("")
    assert History(path).lines == ("optimize postgres", "为什么?")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_only_the_latest_lines_are_remembered(tmp_path: Path) -> None:
    path = tmp_path / "chat-history"
    path.write_text("".join(f"line {number}\n" for number in range(REMEMBERED + 5)))
    history = History(path)
    assert (len(history.lines), history.lines[0]) == (REMEMBERED, "line 5")
    history.add("one more")
    assert (len(History(path).lines), History(path).lines[0]) == (REMEMBERED, "line 6")


def test_a_history_that_cannot_be_kept_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file where a folder should be")
    history = History(tmp_path / "state" / "chat-history")
    assert history.add("optimize postgres")
    assert history.lines == ("optimize postgres",)


def test_a_history_with_control_characters_is_cleaned(tmp_path: Path) -> None:
    path = tmp_path / "chat-history"
    path.write_bytes(b"tune \x1b[31mred\x1b[0m\n\n\xff\xfe\n")
    assert History(path).lines == ("tune red", "\ufffd\ufffd")


SECRETS = [
    "my key is sk-abcdefghijklmnop", "use postgres://me:hunter2@localhost/db", "PGPASSWORD=hunter2 pgbench",
    "the password is hunter2", "密码是 hunter2", "api key: 12345", "AKIAIOSFODNN7EXAMPLE",
    "log in with ghp_16C7e42F292c6912E7710c838347Ae178B4a", "d41d8cd98f00b204e9800998ecf8427e",
    "aGVsbG8gd29ybGQgMTIzNDU2Nzg5MA==", "-----BEGIN PRIVATE KEY-----", "Authorization: Bearer abcdefghijkl",
]  # fmt: skip


@pytest.mark.parametrize("text", SECRETS)
def test_what_looks_like_a_secret_is_not_remembered(tmp_path: Path, text: str) -> None:
    history = History(tmp_path / "chat-history")
    assert looks_secret(text)
    assert not history.add(text)
    assert not (tmp_path / "chat-history").exists()


@pytest.mark.parametrize(
    "text",
    [
        "optimize this system for a PostgreSQL database", "only net.ipv4.tcp_slow_start_after_idle, 20 trials",
        "report 20261122-184500-a1b2", "nginx at http://127.0.0.1:8080/index.html", "优化数据库，50 个客户端",
    ],
)  # fmt: skip
def test_requests_are_no_secrets(text: str) -> None:
    assert not looks_secret(text)


# --- signals


def test_ctrl_c_interrupts_once_and_then_waits(capfd: pytest.CaptureFixture[str]) -> None:
    with Interrupts() as interrupts:
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        assert capfd.readouterr().err == "\nSIGINT: stopping and restoring, please wait\n"
        interrupts.arm()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_while_it_is_held_a_signal_waits(capfd: pytest.CaptureFixture[str]) -> None:
    with Interrupts() as interrupts:
        interrupts.hold()
        os.kill(os.getpid(), signal.SIGINT)
        assert "please wait" in capfd.readouterr().err
        interrupts.release()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_an_end_from_outside_is_not_forgotten(number: signal.Signals, capfd: pytest.CaptureFixture[str]) -> None:
    with Interrupts() as interrupts:
        with pytest.raises(Interrupted, match=f"interrupted by {number.name}"):
            os.kill(os.getpid(), number)
        with pytest.raises(Interrupted, match=f"interrupted by {number.name}"):
            interrupts.arm()
    with Interrupts() as interrupts:
        interrupts.hold()
        os.kill(os.getpid(), number)
        with pytest.raises(Interrupted, match=f"interrupted by {number.name}"):
            interrupts.release()
    assert capfd.readouterr().err.count("please wait") == 1


def test_releasing_after_ctrl_c_still_waits_for_the_next_prompt(capfd: pytest.CaptureFixture[str]) -> None:
    with Interrupts() as interrupts:
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
        interrupts.release()
        os.kill(os.getpid(), signal.SIGINT)
    assert "please wait" in capfd.readouterr().err


def test_the_handlers_of_before_come_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with Interrupts():
        assert signal.getsignal(signal.SIGTERM) is not before
    assert signal.getsignal(signal.SIGTERM) is before


# --- a model's steps


def test_steps_on_half_a_line() -> None:
    assert brief_step(StrategistStep("request", "a long prompt")) == "  ... the model is thinking"
    assert brief_step(StrategistStep("call", '{"area": "vm."}', "list_knobs")) == (
        '  ... it looks at list_knobs {"area": "vm."}'
    )
    assert brief_step(StrategistStep("rejected", "no JSON")) == "  ... it tries again: no JSON"
    assert brief_step(StrategistStep("answer", "{}")) == ""


@given(st.text(), st.text())
def test_a_step_never_moves_the_cursor(name: str, text: str) -> None:
    for step in ("call", "rejected"):
        shown = brief_step(StrategistStep(step, f"\x1b[2J{text}", f"\x1b]0;{name}"))
        assert "\x1b" not in shown
        assert "\n" not in shown
        assert len(shown) < 200
