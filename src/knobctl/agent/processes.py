"""Programs started for a run: as an ordinary user, in their own process group, and never outliving the run."""

import contextlib
import ctypes
import os
import pwd
import re
import resource
import signal
import subprocess
import time
from typing import Callable, Dict, Iterator, List, Mapping, Optional, Sequence, Set, Tuple

SAFE_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_PR_SET_PDEATHSIG, _PR_GET_PDEATHSIG = 1, 2
_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_NO_NEW_PRIVS = 38
_LIBC = ctypes.CDLL(None, use_errno=True)

BENCHMARK_OOM_SCORE, GUARDIAN_OOM_SCORE = "500", "-900"
LIMITS = {
    resource.RLIMIT_CORE: 0, resource.RLIMIT_NPROC: 16384, resource.RLIMIT_FSIZE: 1 << 40, resource.RLIMIT_RTPRIO: 0,
}  # fmt: skip
"""What a benchmark may have at most: no core file, processes of its user, bytes of one file, no real-time priority."""


class Identity:
    """The ordinary user that benchmarks and services run as: who called sudo, or nobody.

    Attributes:
        uid: User id, never 0 when the agent is root.
        gid: Its primary group.
        name: Its name.
        is_caller: It is who asked, so nothing is done for it that it could not do itself.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        caller = environ.get("SUDO_UID", "")
        entry = None
        if os.geteuid() != 0:
            entry = pwd.getpwuid(os.geteuid())
        elif caller.isdigit() and int(caller) != 0:
            try:
                entry = pwd.getpwuid(int(caller))
            except KeyError:
                entry = None
        self.is_caller = entry is not None
        if entry is None:
            entry = pwd.getpwnam("nobody")
        self.uid, self.gid, self.name = entry.pw_uid, entry.pw_gid, entry.pw_name


def become_subreaper() -> None:
    """Makes orphaned descendants children of this process, so that none can be lost."""
    _LIBC.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def die_with_parent(with_signal: int = signal.SIGTERM) -> None:
    """Asks the kernel for a signal when the parent ends."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, int(with_signal), 0, 0, 0)


@contextlib.contextmanager
def acting_as(uid: int, gid: int) -> Iterator[None]:
    """Files are made, opened and deleted with this user's rights, so that no link can lead root astray.

    The kernel forgets the signal of :func:`die_with_parent` with every change of the user, so it is asked for again. A
    parent that ended meanwhile gives none any more: whoever relies on it compares ``os.getppid()`` afterwards.
    """
    if os.geteuid() != 0 or uid == 0:
        yield
        return
    groups, with_parent = os.getgroups(), ctypes.c_int()
    _LIBC.prctl(_PR_GET_PDEATHSIG, ctypes.byref(with_parent), 0, 0, 0)
    os.setgroups([gid])
    os.setegid(gid)
    os.seteuid(uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(groups)
        die_with_parent(with_parent.value)


def set_oom_score(score: str) -> str:
    """How gladly the kernel kills this process for want of memory, from -1000 to 1000 (proc(5)). A wish only.

    Returns:
        The score that it had.
    """
    own = "0"
    # A container may not lower it.
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "r+", encoding="ascii") as handle:
        own = handle.read().strip()
        handle.write(score)
    return own


def spawn(argv: Sequence[str], identity: Identity, folder: str, env: Mapping[str, str]) -> "subprocess.Popen[bytes]":
    """Starts a program in the folder, without a shell, standard output and error on one pipe.

    Raises:
        OSError: It could not be started.
    """

    def prepare() -> None:
        die_with_parent(signal.SIGKILL)
        _LIBC.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        for which, most in LIMITS.items():
            hard = resource.getrlimit(which)[1]
            limit = most if hard == resource.RLIM_INFINITY else min(most, hard)
            resource.setrlimit(which, (limit, limit))

    environment = {
        "PATH": SAFE_PATH, "HOME": folder, "TMPDIR": folder, "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8",
        "USER": identity.name, "LOGNAME": identity.name, **env,
    }  # fmt: skip
    as_user: Dict[str, object] = {}
    if os.geteuid() == 0:
        as_user = {"user": identity.uid, "group": identity.gid, "extra_groups": []}
    own = set_oom_score(BENCHMARK_OOM_SCORE)  # inherited; once it has changed its user the child may not write its own
    try:
        return subprocess.Popen(  # type: ignore[call-overload,no-any-return]
            list(argv), cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, start_new_session=True, umask=0o077, preexec_fn=prepare, **as_user,
        )  # fmt: skip
    finally:
        set_oom_score(own)


def descendants(of: int, folder: str = "", uid: Optional[int] = None) -> Set[int]:
    """Process ids of all living descendants of a process, and of every process whose current folder is inside
    ``folder`` (a server that turned itself into a daemon), with its descendants.

    What is found by its folder alone counts only when it is this user's (None: anybody's): others may work there too,
    and the user may give the folder's name to another one.
    """
    children: Dict[int, List[int]] = {}
    users: Dict[int, int] = {}
    inside: Set[int] = set()
    for pid, parent, user in _processes():
        children.setdefault(parent, []).append(pid)
        users[pid] = user
        if folder and _works_in(pid, folder):
            inside.add(pid)
    found = _below({of}, children)
    theirs = (inside | _below(inside, children)) - found
    return (found | {pid for pid in theirs if uid in (None, users[pid])}) - {of, os.getpid()}


def end(find: Callable[[], Set[int]], grace: float, first: int = signal.SIGINT) -> None:
    """Ends processes: a polite signal, then SIGKILL until none is left.

    Args:
        find: Returns the process ids that must go; called again after every step, so that children are found too.
        grace: Seconds between the polite signal and SIGKILL.
        first: The polite signal.
    """
    began = time.monotonic()
    signal_all(find(), first)
    while time.monotonic() < began + grace + 5:
        reap()
        left = find()
        if not left:
            return
        if time.monotonic() >= began + grace:
            signal_all(left, signal.SIGKILL)
        time.sleep(0.02)


def signal_all(pids: Set[int], which: int) -> None:
    """Sends a signal to processes; those that are gone already do not matter."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, which)


def reap() -> None:
    """Collects children that were adopted (not started by ``subprocess``) and have ended."""
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return


def _processes() -> List[Tuple[int, int, int]]:
    """Process id, parent and real user (whose processes may end it) of everything that lives."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open("/proc/%s/status" % name, encoding="ascii", errors="replace") as handle:
                facts = dict(re.findall(r"^(State|PPid|Uid):\s+(\w+)", handle.read(), re.MULTILINE))
        except OSError:
            continue
        if len(facts) == 3 and facts["State"] not in ("Z", "X"):
            found.append((int(name), int(facts["PPid"]), int(facts["Uid"])))
    return found


def _below(pids: Set[int], children: Mapping[int, Sequence[int]]) -> Set[int]:
    found: Set[int] = set()
    waiting = list(pids)
    while waiting:
        fresh = set(children.get(waiting.pop(), ())) - found
        found |= fresh
        waiting.extend(fresh)
    return found


def _works_in(pid: int, folder: str) -> bool:
    try:
        place = os.readlink("/proc/%d/cwd" % pid)
    except OSError:
        return False
    return place == folder or place.startswith(folder + "/")
