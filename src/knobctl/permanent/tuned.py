"""TuneD on this machine: what it is doing, and telling it to switch its profile through its own ``tuned-adm``.

Facts that this relies on: a profile is ``tuned.conf`` in a folder of its name, in the last of ``profile_dirs``
(``tuned-main.conf``; since TuneD 2.23 ``/etc/tuned/profiles``, before that ``/etc/tuned``). The files
``/etc/tuned/active_profile`` and ``profile_mode`` say what the daemon loads when it starts. A switch gives the settings
of the old profile back, sets those of the new one, and then sets ``/run/sysctl.d``, ``/etc/sysctl.d`` and
``/etc/sysctl.conf`` again unless ``reapply_sysctl`` is off.
"""

import os
import re
import signal
import subprocess
import tempfile
from typing import Dict, List, Optional, Sequence, Tuple

from knobctl.agent.processes import SAFE_PATH
from knobctl.agent.protocol import BAD_REQUEST, WRITE_FAILED, AgentError

PROFILE = "knobctl"
ACTIVE_FILE = "/etc/tuned/active_profile"
MODE_FILE = "/etc/tuned/profile_mode"
MAIN_FILE = "/etc/tuned/tuned-main.conf"
SWITCH_SECONDS = 60.0
_PROGRAMS = ("/usr/sbin/tuned-adm", "/sbin/tuned-adm", "/usr/bin/tuned-adm")
_SAFE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


class Tuned:
    """The TuneD of one machine.

    Args:
        root: Folder that holds ``etc``, ``proc`` and ``usr``; ``/`` outside of tests.
        patience: Seconds that a switch may take.
    """

    def __init__(self, root: str = "/", patience: float = SWITCH_SECONDS) -> None:
        self.root = root
        self._patience = patience

    def running(self) -> bool:
        """Whether its daemon lives."""
        try:
            pids = [name for name in os.listdir(self.real("/proc")) if name.isdigit()]
        except OSError:
            return False
        return any(self.text("/proc/%s/comm" % pid) == "tuned\n" for pid in pids)

    def active(self) -> Tuple[str, ...]:
        """Names of the profiles that are chosen; several are merged, the last one is the most important."""
        return tuple((self.text(ACTIVE_FILE) or "").split())

    def in_charge(self) -> bool:
        """Whether it decides about this machine's settings: the daemon lives, and a profile is chosen."""
        return self.running() and bool(self.active())

    def automatic(self) -> bool:
        """Whether it chose the profile by itself."""
        return (self.text(MODE_FILE) or "").strip() == "auto"

    def reapplies(self) -> bool:
        """Whether the administrator's sysctl files win over a profile (``reapply_sysctl``, on when nothing is said)."""
        return self._option("reapply_sysctl").lower() not in ("0", "no", "false", "off")

    def folders(self) -> List[str]:
        """Folders of profiles, the least important first."""
        named = [folder for folder in re.split(r"[,;\s]+", self._option("profile_dirs")) if folder.startswith("/")]
        if named:
            return [os.path.normpath(folder) for folder in named]
        new = any(os.path.isdir(self.real(folder)) for folder in ("/etc/tuned/profiles", "/usr/lib/tuned/profiles"))
        below = "/profiles" if new else ""
        return ["/usr/lib/tuned" + below, "/etc/tuned" + below]

    def profile_file(self) -> str:
        """Where our profile is, or would be."""
        return "%s/%s/tuned.conf" % (self.folders()[-1], PROFILE)

    def program(self) -> str:
        """Where ``tuned-adm`` is, root folder included; empty when it is not installed."""
        return next((path for path in map(self.real, _PROGRAMS) if os.path.isfile(path)), "")

    def switch(self, profiles: Sequence[str], automatic: bool = False) -> None:
        """Makes these profiles the active ones; none switches its tuning off, ``automatic`` lets it choose.

        Raises:
            AgentError: There is no ``tuned-adm``, it failed, or it took too long; what is active then is not known.
        """
        for name in profiles:
            if not _SAFE_NAME.fullmatch(name):
                raise AgentError(BAD_REQUEST, "%r is no name of a TuneD profile" % name)
        words = ["auto_profile"] if automatic else ["profile", *profiles] if profiles else ["off"]
        line = " ".join(["tuned-adm", *words])
        program = self.program()
        if not program:
            raise AgentError(WRITE_FAILED, "`%s`: tuned-adm is not installed" % line)
        try:
            code, said = _run([program, *words], self._patience)
        except OSError as error:
            raise AgentError(WRITE_FAILED, "`%s` cannot be started: %s" % (line, error.strerror)) from None
        if code is None:
            raise AgentError(WRITE_FAILED, "`%s` did not end within %g seconds" % (line, self._patience))
        if code != 0:
            raise AgentError(WRITE_FAILED, "`%s` failed with status %d: %s" % (line, code, said or "it said nothing"))
        if not automatic and self.active() != tuple(profiles):
            active = " ".join(self.active()) or "none"
            raise AgentError(WRITE_FAILED, "`%s` did not take effect: the active profile is %s" % (line, active))

    def text(self, path: str) -> Optional[str]:
        """Text of a file, or None when it cannot be read."""
        try:
            with open(self.real(path), encoding="utf-8", errors="replace") as handle:
                return handle.read()
        except OSError:
            return None

    def real(self, path: str) -> str:
        """Where a file is, root folder included."""
        return os.path.join(self.root, path.lstrip("/"))

    def _option(self, name: str) -> str:
        found: Dict[str, str] = {}
        for line in (self.text(MAIN_FILE) or "").splitlines():
            key, _, value = line.partition("#")[0].partition("=")
            found[key.strip()] = value.strip()
        return found.get(name, "")


def _run(argv: List[str], patience: float) -> Tuple[Optional[int], str]:
    """Status (None when it was killed for taking too long) and last line of a program, without a shell."""
    with tempfile.TemporaryFile() as said:  # no pipe: a daemon that it starts would hold that open
        process = subprocess.Popen(
            argv,
            cwd="/",
            env={"PATH": SAFE_PATH, "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8"},
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        code: Optional[int] = None
        try:
            code = process.wait(patience)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # with everything that it started
            process.wait()
        said.seek(0)
        lines = said.read(65536).decode("utf-8", "replace").strip().splitlines()
    return code, "".join(mark if mark.isprintable() else " " for mark in lines[-1])[:300] if lines else ""
