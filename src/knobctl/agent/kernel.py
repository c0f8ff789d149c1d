"""Kernel files: which files are behind a knob on this machine, their text, and writing them.

Everything goes through a root folder, ``/`` outside of tests. Files are opened without following a link in the last
component, and only paths that come from the catalogue are ever opened for writing; on a real machine they must also
lie in the kernel's own file systems.
"""

import errno
import glob
import os
from typing import Any, Dict, Optional, Tuple

from knobctl.agent.protocol import WRITE_FAILED, AgentError
from knobctl.knobs import Catalogue, Knob, UnknownKnob, Value, codec, quantities_of

READ_LIMIT = 65536
_KERNEL_FILE_SYSTEMS = {os.stat(folder).st_dev for folder in ("/proc/sys", "/sys") if os.path.isdir(folder)}


class Kernel:
    """The knobs of one machine.

    Args:
        catalogue: The knobs that exist at all; everything else is refused.
        root: Folder that holds ``proc`` and ``sys``.
        folder: Folder whose block device ``{disk}`` stands for.
    """

    def __init__(self, catalogue: Catalogue, root: str = "/", folder: str = "/var/tmp") -> None:
        self.catalogue = catalogue
        self.root = root
        self.disk = disk_under(folder, root)

    def tunable(self, name: Any) -> Knob:
        """A knob of the catalogue that may be set at all.

        Raises:
            AgentError: There is no such knob, or it is never tuned.
        """
        try:
            knob = self.catalogue[str(name)]
        except UnknownKnob as error:
            raise AgentError(WRITE_FAILED, str(error)) from None
        if knob.risk == "forbidden":
            raise AgentError(WRITE_FAILED, "%s is never tuned: %s" % (knob.name, knob.risk_reason))
        return knob

    def quantities(self) -> Dict[str, int]:
        """What the catalogue's bounds are functions of, on this machine."""
        memory = self.text("/proc/meminfo") or ""
        kibibytes = next((int(line.split()[1]) for line in memory.splitlines() if line.startswith("MemTotal:")), 0)
        return quantities_of(kibibytes * 1024, os.sysconf("SC_PAGE_SIZE"), os.cpu_count() or 1)

    def boot_id(self) -> str:
        """Random identifier of this boot; empty when the kernel does not tell."""
        return self.text("/proc/sys/kernel/random/boot_id") or ""

    def files(self, knob: Knob) -> Tuple[str, ...]:
        """Paths (without the root) of the files behind a knob; empty when it is absent here."""
        if "{disk}" in knob.path and not self.disk:
            return ()
        path = knob.path.replace("{disk}", self.disk)
        if "*" in path:
            found = sorted(glob.glob(self.real(path)))
            return tuple("/" + os.path.relpath(name, self.root) for name in found)
        return (path,) if os.path.exists(self.real(path)) else ()

    def read(self, path: str) -> str:
        """Text of a kernel file, without the final newline.

        Raises:
            OSError: It cannot be read.
        """
        handle = os.open(self.real(path), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            return os.read(handle, READ_LIMIT).decode("utf-8", "replace").rstrip("\n")
        finally:
            os.close(handle)

    def write(self, path: str, text: str) -> None:
        """Writes a kernel file in one call.

        Raises:
            OSError: The kernel refused, with its reason.
        """
        real = self.root == "/"
        truncate = 0 if real else os.O_TRUNC  # the kernel takes every write as a whole; a plain file in a test does not
        handle = os.open(self.real(path), os.O_WRONLY | truncate | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            if real and os.fstat(handle).st_dev not in _KERNEL_FILE_SYSTEMS:
                raise OSError(errno.EXDEV, "not in a file system of the kernel's", path)
            data = (text + "\n").encode("utf-8")
            if os.write(handle, data) != len(data):
                raise OSError(errno.EIO, "short write", path)
        finally:
            os.close(handle)

    def text(self, path: str) -> Optional[str]:
        """Text of a kernel file, or None when it cannot be read."""
        try:
            return self.read(path)
        except OSError:
            return None

    def value(self, knob: Knob) -> Value:
        """Current value of a knob (of its first file).

        Raises:
            OSError: Its file cannot be read, or is absent.
            ValueError: Its file holds no such value.
        """
        files = self.files(knob)
        if not files:
            raise FileNotFoundError(errno.ENOENT, "absent in this kernel", knob.path)
        return codec.parse(knob, self.read(files[0]))

    def real(self, path: str) -> str:
        """Where a kernel file is, root folder included."""
        return os.path.join(self.root, path.lstrip("/"))


def disk_under(folder: str, root: str = "/") -> str:
    """Name of the whole block device (``vda``) that holds a folder; empty when there is none."""
    try:
        device = os.stat(folder).st_dev
        link = os.path.realpath(os.path.join(root, "sys/dev/block/%d:%d" % (os.major(device), os.minor(device))))
        if os.path.exists(os.path.join(link, "partition")):
            link = os.path.dirname(link)
        return os.path.basename(link) if os.path.isdir(os.path.join(link, "queue")) else ""
    except OSError:
        return ""


def explain(error: OSError) -> str:
    """The kernel's answer in words: ``Invalid argument (EINVAL)``."""
    name = errno.errorcode.get(error.errno or 0, "")
    return "%s (%s)" % (error.strerror, name) if name else str(error)
