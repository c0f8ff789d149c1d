"""A folder that stands for a machine with sudo and systemd, whose ``visudo`` and ``systemctl`` are scripts."""

from __future__ import annotations

import sys
from pathlib import Path

from knobctl.persist.installing import carry_out, plan_fix
from knobctl.persist.small_root import TIMER_LINK

LEFT = {"calls", "usr/local", "usr/local/libexec", "etc/systemd/system/timers.target.wants"}
"""What may be left after a removal: empty folders of the distribution's, and what the scripts noted."""

_LINK = TIMER_LINK.lstrip("/")
_SCRIPTS = {
    "usr/bin/python3": f'exec {sys.executable} "$@"\n',
    "usr/sbin/visudo": """\
echo "visudo $1 $(stat -c %a "$2")" >> "$here/calls"
grep -q forbidden "$2" && { echo "syntax error near line 1" >&2; exit 1; }
exit 0
""",
    "usr/bin/systemctl": f"""\
echo "systemctl $*" >> "$here/calls"
[ -e "$here/broken" ] && {{ echo "Failed to connect to bus" >&2; exit 1; }}
case "$1" in
enable) mkdir -p "$here/etc/systemd/system/timers.target.wants"; ln -sf ../knobctl-restore.timer "$here/{_LINK}" ;;
disable) rm -f "$here/{_LINK}" ;;
esac
exit 0
""",
}


def machine(root: Path, *, sudo: bool = True, systemd: bool = True) -> Path:
    """A machine on which nothing of knobctl's is installed."""
    folders = ["usr/bin", "usr/sbin", "etc/sudoers.d", "etc/systemd/system", *(["run/systemd/system"] * systemd)]
    for folder in folders:
        (root / folder).mkdir(parents=True, exist_ok=True)
    for name, text in _SCRIPTS.items():
        if sudo or not name.endswith("visudo"):
            (root / name).write_text(f'#!/bin/sh\nhere="{root}"\n{text}')
            (root / name).chmod(0o755)
    return root


def install(root: Path, user: str | None = "daemon") -> None:
    """Everything, as `doctor --fix --yes` does."""
    for step in plan_fix(user, str(root)).steps:
        carry_out(step, str(root))


def calls(root: Path) -> list[str]:
    """What the scripts were called with, in order."""
    notes = root / "calls"
    return notes.read_text().splitlines() if notes.exists() else []


def everything(root: Path) -> dict[str, str]:
    """Permissions, and the content of files, of all that is on the machine."""
    found = {}
    for path in sorted(root.rglob("*")):
        content = path.read_bytes().hex() if path.is_file() else ""
        found[str(path.relative_to(root))] = f"{path.lstat().st_mode:o} {content}"
    return found
