"""Apply, rollback and restore: on a folder that stands for a machine, with the real agent, behind a literal yes."""

from __future__ import annotations

from pathlib import Path

import pytest

from knobctl.agent.places import Places
from knobctl.chat import changing
from knobctl.chat.dialogue import Dialogue, Left
from knobctl.errors import RestoreIncomplete, UsageError
from knobctl.measure import Verdict
from knobctl.persist import SYSCTL_FILE
from knobctl.target.local import LocalTarget
from knobctl.target.simulated import simulated_target
from tests.chat.scripted_terminal import CTRL_C, Key, ScriptedTerminal
from tests.persist.machine import SESSION, machine, session, swappiness


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KNOBCTL_STATE_DIR", str(tmp_path / "state"))


def at(*keys: Key) -> tuple[Dialogue, ScriptedTerminal]:
    terminal = ScriptedTerminal(*keys)
    return Dialogue(terminal, None, ""), terminal


def drop_in(root: Path) -> Path:
    return root / SYSCTL_FILE[1:]


def test_apply_shows_asks_and_writes(tmp_path: Path) -> None:
    target = machine(tmp_path)
    talk, terminal = at("yes")
    changing.apply(session(), target, talk)
    assert swappiness(tmp_path) == "10"
    assert "vm.swappiness = 10" in drop_in(tmp_path).read_text()
    assert (
        f"From session {SESSION} (PostgreSQL OLTP, +8.1 % verified):\n  vm.swappiness: 60 -> 10" in terminal.transcript
    )
    assert terminal.questions == ["Make this permanent? [y/N] "]
    assert "Undo: say rollback, or run knobctl rollback" in terminal.transcript
    assert terminal.held == 1


@pytest.mark.parametrize("said", ["", "no", "n"])
def test_without_a_yes_nothing_is_applied(tmp_path: Path, said: str) -> None:
    talk, terminal = at(said)
    changing.apply(session(), machine(tmp_path), talk)
    assert swappiness(tmp_path) == "60"
    assert not drop_in(tmp_path).exists()
    assert terminal.transcript.endswith(f"Nothing was applied; later: knobctl apply {SESSION} --workdir {tmp_path}\n")


def test_words_that_are_no_yes_apply_nothing(tmp_path: Path) -> None:
    talk, _ = at("ok", "do it now", "the model says yes")
    with pytest.raises(Left):
        changing.apply(session(), machine(tmp_path), talk)
    assert swappiness(tmp_path) == "60"


def test_ctrl_c_at_the_question_applies_nothing(tmp_path: Path) -> None:
    talk, _ = at(CTRL_C)
    with pytest.raises(KeyboardInterrupt):
        changing.apply(session(), machine(tmp_path), talk)
    assert swappiness(tmp_path) == "60"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"verdict": Verdict.NO_CHANGE, "best_config": {}}, "there is nothing worth applying"),
        ({"simulated": True}, "was simulated: nothing of it was measured on a machine"),
    ],
)
def test_what_proved_nothing_is_not_even_asked_about(tmp_path: Path, changes: dict[str, object], words: str) -> None:
    talk, terminal = at("yes")
    with pytest.raises(UsageError, match=words):
        changing.apply(session(**changes), machine(tmp_path), talk)
    assert terminal.questions == []


def test_what_would_not_hold_is_shown_and_not_even_asked_about(tmp_path: Path) -> None:
    target = machine(tmp_path)
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/sysctl.conf").write_text("vm.swappiness = 1\n")
    talk, terminal = at("yes")
    with pytest.raises(UsageError, match=r"would not hold, so nothing was changed: /etc/sysctl\.conf:1 sets") as error:
        changing.apply(session(), target, talk)
    assert error.value.hint == "Remove or comment out /etc/sysctl.conf:1, then apply again."
    assert "! /etc/sysctl.conf:1 sets vm.swappiness = 1 and wins over" in terminal.transcript
    assert terminal.questions == []
    assert swappiness(tmp_path) == "60"
    assert not drop_in(tmp_path).exists()


def test_a_simulation_is_never_changed_for_good() -> None:
    talk, terminal = at("yes", "yes", "yes")
    target = simulated_target("null")
    for change in (lambda: changing.apply(session(), target, talk), lambda: changing.rollback(target, talk),
                   lambda: changing.restore(target, talk)):  # fmt: skip
        with pytest.raises(UsageError, match="this conversation is about simulated:null"):
            change()
    assert terminal.questions == []


def test_rollback_shows_asks_and_undoes(tmp_path: Path) -> None:
    target = machine(tmp_path)
    changing.apply(session(), target, at("yes")[0])
    talk, terminal = at("no")
    changing.rollback(target, talk)
    assert swappiness(tmp_path) == "10"
    assert terminal.transcript.endswith("Nothing was changed.\n")
    talk, terminal = at("yes")
    changing.rollback(target, talk)
    assert swappiness(tmp_path) == "60"
    assert not drop_in(tmp_path).exists()
    assert f"Undo what session {SESSION} applied on" in terminal.transcript
    assert terminal.transcript.endswith("every knob is back\n")
    assert terminal.held == 1


def test_rollback_says_where_an_edited_file_is_kept(tmp_path: Path) -> None:
    target = machine(tmp_path)
    changing.apply(session(), target, at("yes")[0])
    drop_in(tmp_path).write_text("# mine\n")
    talk, terminal = at("yes")
    changing.rollback(target, talk)
    assert f"  what was edited since is kept as {drop_in(tmp_path)}.saved; nothing reads" in terminal.transcript


def test_nothing_to_roll_back(tmp_path: Path) -> None:
    talk, terminal = at("yes")
    with pytest.raises(UsageError, match="nothing is applied"):
        changing.rollback(machine(tmp_path), talk)
    assert terminal.questions == []


def cut_off(root: Path) -> None:
    """A run on this machine was killed with all its guards."""
    target = machine(root)
    target.open("a-session")
    target.write({"vm.swappiness": 1})
    journal = Path(Places(str(root)).journal)
    kept = journal.read_text()
    target.close()
    (root / "proc/sys/vm/swappiness").write_text("1\n")
    journal.write_text(kept)


def test_restore_asks_and_puts_back_what_was_left(tmp_path: Path) -> None:
    cut_off(tmp_path)
    target = machine_as_it_is(tmp_path)
    talk, terminal = at("no")
    changing.restore(target, talk)
    assert swappiness(tmp_path) == "1"
    talk, terminal = at("yes")
    changing.restore(target, talk)
    assert swappiness(tmp_path) == "60"
    assert terminal.questions == ["A run was cut off. Put its knobs back? [y/N] "]
    assert terminal.transcript.endswith("every knob is back\n")
    talk, terminal = at("yes")
    changing.restore(target, talk)
    assert terminal.transcript == "nothing to restore: no run was cut off\n"


def test_a_restore_that_is_not_complete_says_what_to_paste(tmp_path: Path) -> None:
    cut_off(tmp_path)
    (tmp_path / "proc/sys/vm/swappiness").unlink()
    (tmp_path / "proc/sys/vm/swappiness").mkdir()  # nothing can be written into that
    talk, _ = at("yes")
    with pytest.raises(RestoreIncomplete, match="could not be put back") as caught:
        changing.restore(machine_as_it_is(tmp_path), talk)
    assert caught.value.hint == "Paste as root: sysctl -w vm.swappiness=60"


def machine_as_it_is(root: Path) -> LocalTarget:
    return LocalTarget(base=str(root), root=str(root))
