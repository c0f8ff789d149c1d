"""Installing a small root on an invented machine: what is shown is what is written, and all of it goes away again."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from knobctl.errors import NotPermitted, TargetError, UsageError
from knobctl.persist.installing import (
    Installed,
    Removal,
    carry_out,
    carry_out_removal,
    invoking_user,
    look,
    plan_fix,
    plan_removal,
)
from knobctl.persist.small_root import (
    AGENT_FILE,
    SERVICE_FILE,
    SUDOERS_FILE,
    TIMER_FILE,
    TIMER_LINK,
    sudoers_file,
    users_in,
)
from knobctl.target import pack
from tests.persist.small_root import LEFT, calls, everything, install, machine

NOTHING = Installed("absent", "absent", (), "absent")
EVERYTHING = Installed("current", "current", ("daemon",), "current")
ENABLE = ["systemctl daemon-reload", "systemctl enable --now knobctl-restore.timer"]


def at(root: Path, path: str) -> Path:
    return root / path.lstrip("/")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_machine_without_anything(tmp_path: Path) -> None:
    root = machine(tmp_path / "root")
    before = everything(root)
    assert look(str(root)) == NOTHING
    plan = plan_fix("daemon", str(root))
    assert [step.name for step in plan.steps] == ["agent", "sudo", "timer"]
    assert (plan.there, plan.notes) == ((), ())
    assert plan_removal(str(root)) == Removal((), (), ())
    assert everything(root) == before, "looking and planning change nothing"


def test_what_is_shown_is_what_is_written(tmp_path: Path) -> None:
    root = machine(tmp_path / "root")
    for step in plan_fix("daemon", str(root)).steps:
        carry_out(step, str(root))
        for file in step.files:
            assert at(root, file.path).read_bytes() == file.content
            assert mode(at(root, file.path)) == file.mode
            if file.path != AGENT_FILE:
                assert file.shown.encode() == file.content
    assert look(str(root)) == EVERYTHING
    assert at(root, AGENT_FILE).read_bytes() == pack.packed(pack.AGENT)
    assert mode(at(root, AGENT_FILE).parent) == 0o755
    assert calls(root) == ["visudo -cf 440", *ENABLE], "the rule is checked as it will be, before it is in place"
    assert not list(root.rglob("*.knobctl-new"))


def test_a_second_time_there_is_nothing_to_do(tmp_path: Path) -> None:
    root = machine(tmp_path / "root")
    install(root)
    for user in ("daemon", None):
        plan = plan_fix(user, str(root))
        assert plan.steps == ()
        assert plan.there == (AGENT_FILE, SUDOERS_FILE, SERVICE_FILE, TIMER_FILE)


def test_all_of_it_goes_away_again(tmp_path: Path) -> None:
    root = machine(tmp_path / "root")
    before = everything(root)
    install(root)
    removal = plan_removal(str(root))
    assert removal.files == (SUDOERS_FILE, TIMER_FILE, SERVICE_FILE, AGENT_FILE)
    carry_out_removal(removal, str(root))
    assert look(str(root)) == NOTHING
    left = everything(root)
    assert set(left) - set(before) <= LEFT
    assert {name: left[name] for name in before} == before
    assert calls(root)[-2:] == ["systemctl disable --now knobctl-restore.timer", "systemctl daemon-reload"]
    assert plan_removal(str(root)) == Removal((), (), ())


def test_a_folder_with_somebody_elses_file_stays(tmp_path: Path) -> None:
    root = machine(tmp_path / "root")
    install(root)
    (at(root, AGENT_FILE).parent / "notes").write_text("mine")
    carry_out_removal(plan_removal(str(root)), str(root))
    assert [entry.name for entry in at(root, AGENT_FILE).parent.iterdir()] == ["notes"]


@pytest.mark.parametrize("path", [AGENT_FILE, SERVICE_FILE, TIMER_FILE])
def test_what_is_outdated_is_noticed_and_replaced(tmp_path: Path, path: str) -> None:
    root = machine(tmp_path / "root")
    install(root)
    at(root, path).write_text("of an older version\n")
    found = look(str(root))
    assert (found.agent if path == AGENT_FILE else found.timer) == "outdated"
    assert [step.name for step in plan_fix(None, str(root)).steps] == ["agent" if path == AGENT_FILE else "timer"]
    install(root, None)
    assert look(str(root)) == EVERYTHING


def test_permissions_count_as_content_does(tmp_path: Path) -> None:
    root = machine(tmp_path / "root")
    install(root)
    at(root, SUDOERS_FILE).chmod(0o644)
    assert look(str(root)).rule == "outdated"
    install(root, None)
    assert mode(at(root, SUDOERS_FILE)) == 0o440


def test_a_link_in_place_of_the_agent_is_replaced_not_followed(tmp_path: Path) -> None:
    root = machine(tmp_path / "root")
    install(root)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(pack.packed(pack.AGENT))
    elsewhere.chmod(0o755)
    at(root, AGENT_FILE).unlink()
    at(root, AGENT_FILE).symlink_to(elsewhere)
    assert look(str(root)).agent == "outdated"
    elsewhere.write_text("another")
    install(root, None)
    assert not at(root, AGENT_FILE).is_symlink()
    assert elsewhere.read_text() == "another"


def test_a_timer_that_somebody_disabled_is_enabled_again(tmp_path: Path) -> None:
    root = machine(tmp_path / "root")
    install(root)
    at(root, TIMER_LINK).unlink()
    assert look(str(root)).timer == "disabled"
    install(root, None)
    assert look(str(root)).timer == "current"


@pytest.mark.parametrize("folder", ["usr/local", "usr/local/libexec", "usr/local/libexec/knobctl", "etc/sudoers.d"])
def test_nothing_is_put_where_others_could_change_it(tmp_path: Path, folder: str) -> None:
    root = machine(tmp_path / "root")
    (root / folder).mkdir(parents=True, exist_ok=True)
    (root / folder).chmod(0o775)
    with pytest.raises(TargetError, match=f"^/{folder} can be changed by others than root, so nothing below it") as no:
        plan_fix("daemon", str(root))
    assert no.value.hint == f"Look at it; as root: chown root:root /{folder} && chmod go-w /{folder}"


def test_a_folder_that_becomes_others_own_makes_the_agent_unsafe(tmp_path: Path) -> None:
    root = machine(tmp_path / "root")
    install(root)
    (root / "usr/local").chmod(0o777)
    assert look(str(root)).agent == "unsafe"


def test_a_link_on_the_way_leads_to_where_others_could_change_it(tmp_path: Path) -> None:
    root = machine(tmp_path / "root")
    (root / "var/usrlocal").mkdir(parents=True)
    (root / "usr/local").symlink_to("../var/usrlocal")
    install(root)
    assert look(str(root)) == EVERYTHING
    (root / "var").chmod(0o777)
    assert look(str(root)).agent == "unsafe"


# --- the rule


def test_a_second_user_is_added(tmp_path: Path) -> None:
    root = machine(tmp_path / "root")
    install(root, "nobody")
    plan = plan_fix("daemon", str(root))
    assert [step.name for step in plan.steps] == ["sudo"]
    assert plan.steps[0].question == "Let daemon and nobody start the agent without a password?"
    carry_out(plan.steps[0], str(root))
    assert look(str(root)).users == ("daemon", "nobody")


def test_the_rule_names_one_command_without_arguments() -> None:
    lines = [line for line in sudoers_file(["daemon"]).content.decode().splitlines() if not line.startswith("# ")]
    assert lines == ['daemon ALL=(root) NOPASSWD: /usr/local/libexec/knobctl/knobctl-agent ""']


@pytest.mark.parametrize(
    "line",
    [
        "daemon ALL=(root) NOPASSWD: ALL",
        f"daemon ALL=(root) NOPASSWD: {AGENT_FILE}",
        f'daemon ALL=(root) NOPASSWD: {AGENT_FILE} "", /bin/sh',
        f'daemon ALL=(ALL) NOPASSWD: {AGENT_FILE} ""',
        f'ALL ALL=(root) NOPASSWD: {AGENT_FILE} ""',
        "#include /etc/other",
        "#includedir /etc/others",
        "Defaults !authenticate",
    ],
)
def test_a_file_with_another_line_is_left_to_its_owner(tmp_path: Path, line: str) -> None:
    root = machine(tmp_path / "root")
    at(root, SUDOERS_FILE).write_text(f"{line}\n")
    for plan in (lambda: plan_fix("daemon", str(root)), lambda: plan_removal(str(root))):
        with pytest.raises(UsageError) as refused:
            plan()
        assert refused.value.message == f"{SUDOERS_FILE} holds a line that knobctl did not write: {line}"
        assert refused.value.hint == "Look at it with `visudo -f`, and move it to a file of its own."
    assert look(str(root)).rule == "outdated"


def test_a_rule_that_does_not_pass_its_check_is_not_put_in_place(tmp_path: Path) -> None:
    root = machine(tmp_path / "root")
    at(root, "usr/sbin/visudo").write_text("#!/bin/sh\necho '>>> syntax error <<<' >&2; exit 1\n")
    before = everything(root)
    step = next(step for step in plan_fix("daemon", str(root)).steps if step.name == "sudo")
    with pytest.raises(TargetError, match=r"^`visudo -cf .*` failed: >>> syntax error <<<$"):
        carry_out(step, str(root))
    assert everything(root) == before


def test_without_visudo_nobody_gets_a_rule(tmp_path: Path) -> None:
    root = machine(tmp_path / "root", sudo=False)
    plan = plan_fix(None, str(root))
    assert [step.name for step in plan.steps] == ["agent", "timer"]
    assert plan.notes == ("There is no visudo to check a sudo rule with, so nobody gets one.",)
    with pytest.raises(TargetError, match="there is no visudo to check a sudo rule with") as refused:
        plan_fix("daemon", str(root))
    assert refused.value.hint == "Install sudo, or leave --user out."


def test_somebody_must_be_named(tmp_path: Path) -> None:
    root = machine(tmp_path / "root")
    with pytest.raises(UsageError, match=r"^for whom is the sudo rule\?$") as refused:
        plan_fix(None, str(root))
    assert refused.value.hint == "Name the user who will run knobctl: --user NAME."


def test_who_is_meant() -> None:
    assert invoking_user(None, {}) is None
    assert invoking_user(None, {"SUDO_USER": "root"}) is None
    assert invoking_user(None, {"SUDO_USER": "daemon"}) == "daemon"
    assert invoking_user("nobody", {"SUDO_USER": "daemon"}) == "nobody"


@pytest.mark.parametrize(
    "name",
    ["ALL", "%sudo", "#0", "+group", "daemon ALL=(ALL) ALL\nx", "daemon\n", "a,b", "a b", "-x", "0abc", "!x", "A",
     "a.b", "a@b", "a" * 33, "é", "a\\b", "a:b", "a=b", "a#b", '"a"'],
)  # fmt: skip
def test_a_name_that_means_something_else_to_sudo_is_refused(name: str) -> None:
    for call in (lambda: invoking_user(name, {}), lambda: invoking_user(None, {"SUDO_USER": name})):
        with pytest.raises(UsageError) as refused:
            call()
        assert refused.value.message == f"{name!r} cannot stand in a sudo rule"


def test_an_empty_name_is_no_name() -> None:
    assert invoking_user("", {}) is None


def test_nobody_of_that_name_and_root_are_refused() -> None:
    with pytest.raises(UsageError, match="there is no user no-such-user-here"):
        invoking_user("no-such-user-here", {})
    with pytest.raises(UsageError, match="root is root and needs no rule"):
        invoking_user("root", {})


@given(st.text(max_size=40))
def test_no_text_of_a_name_makes_a_second_rule(name: str) -> None:
    try:
        user = invoking_user(name, {})
    except UsageError:
        return
    assert user is None or users_in(sudoers_file([user]).content.decode()) == (user,)


@given(st.lists(st.from_regex(r"[a-z_][a-z0-9_-]{0,31}", fullmatch=True), max_size=5, unique=True))
def test_users_are_read_as_they_were_written(users: list[str]) -> None:
    assert users_in(sudoers_file(users).content.decode()) == tuple(sorted(users))


# --- the timer


def test_the_service_can_reach_what_it_has_to_put_back(tmp_path: Path) -> None:
    root = machine(tmp_path / "root")
    install(root)
    lines = at(root, SERVICE_FILE).read_text().splitlines()
    settings = dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))
    assert settings["ExecStart"] == f"{AGENT_FILE} --restore"
    assert settings["ConditionPathExists"] == "/var/lib/knobctl/journal"
    assert (settings["Type"], settings["SuccessExitStatus"], settings["NoNewPrivileges"]) == ("oneshot", "75", "yes")
    hiding = {"ProtectKernelTunables", "PrivateNetwork", "PrivateIPC", "PrivateUsers", "ProtectHome", "PrivateTmp",
              "ReadOnlyPaths", "InaccessiblePaths", "DynamicUser", "User", "CapabilityBoundingSet"}  # fmt: skip
    assert not hiding & set(settings)


def test_the_timer_starts_the_service_of_its_name(tmp_path: Path) -> None:
    root = machine(tmp_path / "root")
    install(root)
    text = at(root, TIMER_FILE).read_text()
    assert "OnBootSec=30s\nOnUnitActiveSec=60s\n" in text
    assert "Unit=" not in text
    assert Path(TIMER_FILE).stem == Path(SERVICE_FILE).stem


def test_without_systemd_there_is_no_timer(tmp_path: Path) -> None:
    root = machine(tmp_path / "root", systemd=False)
    plan = plan_fix("daemon", str(root))
    assert [step.name for step in plan.steps] == ["agent", "sudo"]
    assert plan.notes == ("Systemd does not run here, so there is no timer; `knobctl restore` does the same by hand.",)
    assert look(str(root)).timer == "no systemd"
    install(root)
    carry_out_removal(plan_removal(str(root)), str(root))
    assert calls(root) == ["visudo -cf 440"]


def test_a_systemctl_that_fails_is_an_error_with_its_words(tmp_path: Path) -> None:
    root = machine(tmp_path / "root")
    (root / "broken").touch()
    step = plan_fix("daemon", str(root)).steps[-1]
    with pytest.raises(TargetError) as failed:
        carry_out(step, str(root))
    assert failed.value.message == "`systemctl daemon-reload` failed: Failed to connect to bus"
    assert failed.value.hint == "Run it by hand to see more."


# --- what stands in the way


def test_an_interpreter_that_is_missing_or_too_old(tmp_path: Path) -> None:
    root = machine(tmp_path / "root")
    python = at(root, "usr/bin/python3")
    python.write_text("#!/bin/sh\nexit 1\n")
    with pytest.raises(TargetError, match=r"^/usr/bin/python3 is older than Python 3\.9$"):
        plan_fix("daemon", str(root))
    python.unlink()
    with pytest.raises(TargetError, match=r"^cannot start /usr/bin/python3: No such file or directory$"):
        plan_fix("daemon", str(root))


def test_a_file_that_cannot_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    root = machine(tmp_path / "root")
    at(root, AGENT_FILE).mkdir(parents=True)
    step = plan_fix("daemon", str(root)).steps[0]
    with pytest.raises(TargetError) as failed:
        carry_out(step, str(root))
    assert failed.value.message == f"cannot write {AGENT_FILE}: Is a directory"
    assert [entry.name for entry in at(root, AGENT_FILE).parent.iterdir()] == ["knobctl-agent"]


def test_it_needs_root() -> None:
    code = f"""
import os, sys
sys.path[:0] = {sys.path!r}
from knobctl.errors import NotPermitted
from knobctl.persist.installing import plan_fix, plan_removal
if os.geteuid() == 0:
    os.setuid(65534)
for plan, option in ((lambda: plan_fix(None), "--fix"), (plan_removal, "--remove")):
    try:
        plan()
    except NotPermitted as error:
        assert error.exit_code == 77
        assert error.message == "doctor %s needs root" % option, error.message
        assert error.hint == "Run `sudo knobctl doctor %s`." % option, error.hint
    else:
        sys.exit("it was permitted")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert NotPermitted.exit_code == 77


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")
def test_a_rule_that_only_root_can_read_is_hidden_from_others() -> None:
    code = f"""
import os, sys
sys.path[:0] = {sys.path!r}
from knobctl.persist.installing import look
look("/")  # reads what of Python's library the other user may not be able to
os.setgroups([]); os.setgid(65534); os.setuid(65534)
print(look(sys.argv[1]).rule)
"""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:  # pytest's own folders are closed to others
        Path(folder).chmod(0o755)
        root = machine(Path(folder, "root"))
        install(root)
        words = [sys.executable, "-c", code, str(root)]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.stdout == "hidden\n", done.stderr
