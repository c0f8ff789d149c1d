"""What a small root is made of: the agent as a file, a sudo rule for exactly that file, and a timer that starts it.

Users in, the texts and permissions of the files out; and a sudo rule's text in, its users out.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from knobctl.errors import UsageError
from knobctl.target import pack

AGENT_FILE = str(pack.INSTALLED_AGENT)
SUDOERS_FILE = "/etc/sudoers.d/knobctl"
SERVICE_FILE = "/etc/systemd/system/knobctl-restore.service"
TIMER_FILE = "/etc/systemd/system/knobctl-restore.timer"
TIMER = Path(TIMER_FILE).name
TIMER_LINK = f"/etc/systemd/system/timers.target.wants/{TIMER}"
"""Made by ``systemctl enable``."""

USER = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
"""Names that mean nothing but a user in a sudoers file."""

_RULE = re.compile(rf'({USER.pattern}) ALL=\(root\) NOPASSWD: {re.escape(AGENT_FILE)} ""')

_SUDOERS_TEXT = """\
# Made by `knobctl doctor --fix`. `knobctl doctor --remove` takes it away again.
# These users may start knobctl's agent as root without a password, with no argument at all.
"""

_SERVICE_TEXT = f"""\
# Made by `knobctl doctor --fix`. `knobctl doctor --remove` takes it away again.
[Unit]
Description=Put back the kernel settings that an interrupted knobctl run left
ConditionPathExists=/var/lib/knobctl/journal

[Service]
Type=oneshot
ExecStart={AGENT_FILE} --restore
# A run is going on: it restores by itself.
SuccessExitStatus=75
TimeoutStartSec=120
NoNewPrivileges=yes
LockPersonality=yes
RestrictAddressFamilies=AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
ProtectSystem=full
ProtectControlGroups=yes
ProtectKernelLogs=yes
# Not here, because they would keep settings from being put back: ProtectKernelTunables; PrivateNetwork, PrivateIPC,
# PrivateUsers and PrivatePIDs (many settings belong to a namespace, and the machine's own is meant); ProtectHome and
# PrivateTmp (the work folder of the run may be there).
"""

_TIMER_TEXT = """\
# Made by `knobctl doctor --fix`. `knobctl doctor --remove` takes it away again.
[Unit]
Description=Look every minute whether a knobctl run was cut off

[Timer]
OnBootSec=30s
OnUnitActiveSec=60s
AccuracySec=10s

[Install]
WantedBy=timers.target
"""


@dataclass(frozen=True)
class NewFile:
    """A file to be written, owned by root.

    Attributes:
        path: Absolute path.
        content: What will be in it.
        mode: Its permissions.
    """

    path: str
    content: bytes
    mode: int

    @property
    def shown(self) -> str:
        """What a person should see of it: the text, or what identifies a program."""
        if self.path == AGENT_FILE:
            return f"a Python zipapp of {len(self.content)} bytes, sha256 {hashlib.sha256(self.content).hexdigest()}\n"
        return self.content.decode("utf-8")


def agent_file() -> NewFile:
    """The agent."""
    return NewFile(AGENT_FILE, pack.packed(pack.AGENT), 0o755)


def sudoers_file(users: Sequence[str]) -> NewFile:
    """The rule, for users whose names match :data:`USER`."""
    rules = "".join(f'{user} ALL=(root) NOPASSWD: {AGENT_FILE} ""\n' for user in users)
    return NewFile(SUDOERS_FILE, (_SUDOERS_TEXT + rules).encode("ascii"), 0o440)


def unit_files() -> tuple[NewFile, NewFile]:
    """The service that restores, and the timer that starts it."""
    return (
        NewFile(SERVICE_FILE, _SERVICE_TEXT.encode("ascii"), 0o644),
        NewFile(TIMER_FILE, _TIMER_TEXT.encode("ascii"), 0o644),
    )


def users_in(text: str) -> tuple[str, ...]:
    """Who has the rule in the text of its file.

    Raises:
        UsageError: The text holds something that knobctl did not write.
    """
    users = set()
    for line in text.splitlines():
        if not line.strip() or re.match(r"#(?!include)", line):
            continue
        rule = _RULE.fullmatch(line)
        if rule is None:
            raise UsageError(
                f"{SUDOERS_FILE} holds a line that knobctl did not write: {line}",
                "Look at it with `visudo -f`, and move it to a file of its own.",
            )
        users.add(rule.group(1))
    return tuple(sorted(users))
