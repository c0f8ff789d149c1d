"""A machine in, what a small root would put on it out, as steps to be shown; then the putting, and the way back.

Three steps, each with a use of its own: the agent as a file that only root can change; a sudo rule that lets a user
start exactly that file, as root, with no argument; a timer that restores when both of a run's guards were killed.
"""

from __future__ import annotations

import os
import pwd
import stat
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from knobctl.agent.places import sync_folder
from knobctl.errors import NotPermitted, TargetError, UsageError
from knobctl.persist.small_root import (
    AGENT_FILE,
    SERVICE_FILE,
    SUDOERS_FILE,
    TIMER,
    TIMER_FILE,
    TIMER_LINK,
    USER,
    NewFile,
    agent_file,
    sudoers_file,
    unit_files,
    users_in,
)

_PYTHON = "/usr/bin/python3"
_FRESH = ".knobctl-new"  # sudo reads no file in /etc/sudoers.d whose name has a dot, so an unfinished one has no effect
_PROGRAM_FOLDERS = ("usr/sbin", "usr/bin", "sbin", "bin")
_COMMAND_SECONDS = 60.0


@dataclass(frozen=True)
class Step:
    """One thing to be installed, which the user can have or leave.

    Attributes:
        name: ``agent``, ``sudo`` or ``timer``; the other two are of no use without the agent.
        meaning: What having it means, in whole sentences.
        question: Asked before it is done.
        files: What will be written.
        commands: What will be run then, program first.
    """

    name: str
    meaning: str
    question: str
    files: tuple[NewFile, ...]
    commands: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True)
class Fix:
    """What there is to install.

    Attributes:
        steps: What is not there yet, or not as it should be.
        there: Paths of files that are as they should be.
        notes: What cannot be had here and why, in whole sentences.
    """

    steps: tuple[Step, ...]
    there: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Removal:
    """What there is to remove, in this order.

    Attributes:
        files: Paths that will be deleted.
        commands: What will be run first.
        after: What will be run then.
    """

    files: tuple[str, ...]
    commands: tuple[tuple[str, ...], ...]
    after: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Installed:
    """What of it is on a machine.

    Attributes:
        agent: ``absent``, ``current``, ``outdated`` or ``unsafe`` (somebody else than root could change it).
        rule: ``absent``, ``current``, ``outdated`` or ``hidden`` (only root can read it).
        users: Who may start the agent without a password, as far as it can be read.
        timer: ``absent``, ``current``, ``outdated``, ``disabled`` or ``no systemd``.
    """

    agent: str
    rule: str
    users: tuple[str, ...]
    timer: str


def look(root: str = "/") -> Installed:
    """What is installed. Needs no rights and changes nothing."""
    agent = _state(root, agent_file())
    if agent == "current" and _changeable(root, AGENT_FILE):
        agent = "unsafe"
    try:
        users = _users(root)
        rule = "absent" if users is None else _state(root, sudoers_file(users))
    except PermissionError:
        users, rule = None, "hidden"
    except UsageError:
        users, rule = None, "outdated"
    units = {_state(root, unit) for unit in unit_files()}
    timer = units.pop() if len(units) == 1 else "outdated"
    if timer == "current" and not _below(root, TIMER_LINK).is_symlink():
        timer = "disabled"
    return Installed(agent, rule, users or (), timer if _has_systemd(root) else "no systemd")


def invoking_user(named: str | None, environ: Mapping[str, str]) -> str | None:
    """Whose sudo rule is meant: the named user, or who called sudo; None when neither is known.

    Raises:
        UsageError: There is no such user, the name could be read as something else in a sudoers file, or it is root.
    """
    name = named if named is not None else environ.get("SUDO_USER", "")
    if not name or (named is None and name == "root"):
        return None
    if not USER.fullmatch(name):
        raise UsageError(
            f"{name!r} cannot stand in a sudo rule",
            "A name has lower-case letters, digits, _ and -, and begins with a letter or _.",
        )
    try:
        uid = pwd.getpwnam(name).pw_uid
    except KeyError:
        raise UsageError(f"there is no user {name}", "Name one with --user.") from None
    if uid == 0:
        raise UsageError(f"{name} is root and needs no rule", "Name the user who will run knobctl with --user.")
    return name


def plan_fix(user: str | None, root: str = "/") -> Fix:
    """What is missing on this machine. Changes nothing.

    Args:
        user: Who gets the sudo rule, from :func:`invoking_user`; None for those who have it already.
        root: Folder that stands for ``/``; anything else is for tests.

    Raises:
        NotPermitted: Not root.
        UsageError: Nobody is named for the rule, or its file holds lines that are not knobctl's.
        TargetError: The agent could not be kept safe here, or could not be started.
    """
    _require_root(root, "--fix")
    _require_python(root)
    steps, notes = [_agent_step()], []
    if _program(root, "visudo") is None:
        if user is not None:
            raise TargetError("there is no visudo to check a sudo rule with", "Install sudo, or leave --user out.")
        notes.append("There is no visudo to check a sudo rule with, so nobody gets one.")
    else:
        users = set(_users(root) or ())
        if not users and user is None:
            raise UsageError("for whom is the sudo rule?", "Name the user who will run knobctl: --user NAME.")
        steps.append(_sudo_step(sorted(users | ({user} if user is not None else set()))))
    if _has_systemd(root):
        steps.append(_timer_step())
    else:
        notes.append("Systemd does not run here, so there is no timer; `knobctl restore` does the same by hand.")
    for path in {file.path for step in steps for file in step.files}:
        changeable = _changeable(root, str(Path(path).parent))
        if changeable:
            raise TargetError(
                f"{changeable} can be changed by others than root, so nothing below it would be safe",
                f"Look at it; as root: chown root:root {changeable} && chmod go-w {changeable}",
            )
    missing = tuple(step for step in steps if not _is_done(root, step))
    there = tuple(file.path for step in steps if step not in missing for file in step.files)
    return Fix(missing, there, tuple(notes))


def carry_out(step: Step, root: str = "/") -> None:
    """Does one step: writes its files, each in one go, and runs its commands.

    Raises:
        TargetError: A file could not be written or did not pass its check, or a command failed.
    """
    for file in step.files:
        try:
            _put(root, file)
        except OSError as error:
            raise TargetError(f"cannot write {file.path}: {error.strerror}", "Nothing was put in its place.") from None
    for command in step.commands:
        _run(root, command)


def plan_removal(root: str = "/") -> Removal:
    """What of it all is on this machine. Changes nothing.

    Raises:
        NotPermitted: Not root.
        UsageError: The file of the sudo rule holds lines that are not knobctl's.
    """
    _require_root(root, "--remove")
    _users(root)
    files = [SUDOERS_FILE, TIMER_FILE, SERVICE_FILE, AGENT_FILE]  # no rule without its file at any moment
    there = tuple(path for path in files if _below(root, path).is_file())
    systemd = _has_systemd(root)
    return Removal(
        there,
        (("systemctl", "disable", "--now", TIMER),) if systemd and TIMER_FILE in there else (),
        (("systemctl", "daemon-reload"),) if systemd and {TIMER_FILE, SERVICE_FILE} & set(there) else (),
    )


def carry_out_removal(removal: Removal, root: str = "/") -> None:
    """Takes everything away again.

    Raises:
        TargetError: A file could not be deleted, or a command failed.
    """
    for command in removal.commands:
        _run(root, command)
    for path in removal.files:
        real = _below(root, path)
        try:
            real.unlink(missing_ok=True)
            sync_folder(str(real.parent))
        except OSError as error:
            raise TargetError(f"cannot delete {path}: {error.strerror}") from None
    folder = _below(root, AGENT_FILE).parent
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
    for command in removal.after:
        _run(root, command)


def _agent_step() -> Step:
    return Step(
        "agent",
        "The agent is the part of knobctl that runs as root. As a file that only root can change, it can be started "
        "by sudo or by a timer and is still the program that you saw when you installed it.",
        "Install the agent?",
        (agent_file(),),
    )


def _sudo_step(users: Sequence[str]) -> Step:
    who = " and ".join(users)
    return Step(
        "sudo",
        f"Without a password, and for as long as a run of theirs lasts, {who} may then set the knobs of the "
        "catalogue inside the ranges that it gives for this machine, those of the class caution included; and put "
        "back what a run that was cut off left. They cannot make anything permanent, set a knob that is never tuned, "
        "or use the agent for anything else as root.",
        f"Let {who} start the agent without a password?",
        (sudoers_file(users),),
    )


def _timer_step() -> Step:
    return Step(
        "timer",
        "Once a minute systemd looks whether a run left its journal. When all of that run's processes are dead, the "
        "agent puts back what they had set, without anybody being asked.",
        "Install and start the timer?",
        unit_files(),
        (("systemctl", "daemon-reload"), ("systemctl", "enable", "--now", TIMER)),
    )


def _users(root: str) -> tuple[str, ...] | None:
    """Who has the rule; None when there is no file.

    Raises:
        PermissionError: Only root can read it.
        UsageError: The file holds something that knobctl did not write.
    """
    try:
        text = _below(root, SUDOERS_FILE).read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return None
    return users_in(text)


def _state(root: str, file: NewFile) -> str:
    """``absent``, ``current`` or ``outdated``."""
    real = _below(root, file.path)
    try:
        same = real.read_bytes() == file.content and real.lstat().st_mode == stat.S_IFREG | file.mode
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return "absent"
    except PermissionError:
        return "outdated"
    return "current" if same else "outdated"


def _is_done(root: str, step: Step) -> bool:
    if step.commands and not _below(root, TIMER_LINK).is_symlink():
        return False
    return all(_state(root, file) == "current" and not _changeable(root, file.path) for file in step.files)


def _changeable(root: str, path: str) -> str:
    """The first of a path's existing parts that somebody else than root could replace or write; empty when none."""
    top = Path(root)
    real = _below(root, path)
    owners = {0} if root == "/" else {0, os.geteuid()}
    chains = [chain for start in (real, real.resolve()) for chain in (start, *start.parents)]
    for part in sorted({part for part in chains if part == top or top in part.parents}):
        try:
            status = part.lstat()
        except (FileNotFoundError, NotADirectoryError):
            continue
        if status.st_uid not in owners or (not part.is_symlink() and status.st_mode & 0o022):
            return "/" + str(part.relative_to(top)) if root != "/" else str(part)
    return ""


def _require_root(root: str, option: str) -> None:
    if root == "/" and os.geteuid() != 0:
        raise NotPermitted(f"doctor {option} needs root", f"Run `sudo knobctl doctor {option}`.")


def _require_python(root: str) -> None:
    """The agent's first line names its interpreter."""
    try:
        code = "import sys; sys.exit(sys.version_info < (3, 9))"
        done = subprocess.run([_below(root, _PYTHON), "-IS", "-c", code], check=False, capture_output=True)
    except OSError as error:
        raise TargetError(f"cannot start {_PYTHON}: {error.strerror}", "The installed agent needs it.") from None
    if done.returncode != 0:
        raise TargetError(f"{_PYTHON} is older than Python 3.9", "The installed agent needs 3.9 or newer there.")


def _has_systemd(root: str) -> bool:
    """As sd_booted(3)."""
    return _below(root, "/run/systemd/system").is_dir()


def _put(root: str, file: NewFile) -> None:
    """Writes a file beside its place, checks it, and moves it there.

    Raises:
        OSError: It could not be written.
        TargetError: It did not pass its check.
    """
    real = _below(root, file.path)
    for folder in [folder for folder in reversed(real.parents) if not folder.exists()]:
        folder.mkdir()
        _own(folder, 0o755)
    fresh = real.with_name(real.name + _FRESH)
    fresh.unlink(missing_ok=True)
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(handle, "wb") as out:
            out.write(file.content)
            out.flush()
            os.fsync(out.fileno())
        _own(fresh, file.mode)
        if file.path == SUDOERS_FILE:
            _run(root, ("visudo", "-cf", str(fresh)))
        fresh.rename(real)
    finally:
        fresh.unlink(missing_ok=True)
    sync_folder(str(real.parent))


def _own(path: Path, mode: int) -> None:
    """Gives a new file or folder to root, whatever the umask, or the group of the folder above, would make of it."""
    if os.geteuid() == 0:
        os.chown(path, 0, 0)
    path.chmod(mode)


def _run(root: str, command: Sequence[str]) -> None:
    program = _program(root, command[0])
    if program is None:
        raise TargetError(f"{command[0]} is not installed")
    try:
        done = subprocess.run(
            [program, *command[1:]], check=False, capture_output=True, text=True, errors="replace",
            stdin=subprocess.DEVNULL, timeout=_COMMAND_SECONDS,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise TargetError(f"`{' '.join(command)}` could not be run: {error}") from None
    if done.returncode != 0:
        said = " ".join((done.stderr or done.stdout).split()) or f"exit status {done.returncode}"
        raise TargetError(f"`{' '.join(command)}` failed: {said}", "Run it by hand to see more.")


def _program(root: str, name: str) -> Path | None:
    places = (Path(root, folder, name) for folder in _PROGRAM_FOLDERS)
    return next((place for place in places if os.access(place, os.X_OK)), None)


def _below(root: str, path: str) -> Path:
    return Path(root) / path.lstrip("/")
