"""Kernel files: which files are behind a knob on this machine, their text, and writing them.

Everything goes through a root folder, ``/`` outside of tests. Files are opened without following a link in the last
component, and only paths that come from the catalogue are ever opened for writing.
"""

import errno
import glob
import os
from typing import Dict, Mapping, Optional, Sequence, Tuple

from knobctl.knobs import Catalogue, Knob, KnobState, Value, codec

READ_LIMIT = 65536


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

    def files(self, knob: Knob) -> Tuple[str, ...]:
        """Paths (without the root) of the files behind a knob; empty when it is absent here."""
        if "{disk}" in knob.path:
            if not self.disk:
                return ()
            path = knob.path.replace("{disk}", self.disk)
        else:
            path = knob.path
        if "*" in path:
            found = sorted(glob.glob(self._real(path)))
            return tuple("/" + os.path.relpath(name, self.root) for name in found)
        return (path,) if os.path.exists(self._real(path)) else ()

    def read(self, path: str) -> str:
        """Text of a kernel file, without the final newline.

        Raises:
            OSError: It cannot be read.
        """
        handle = os.open(self._real(path), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            return os.read(handle, READ_LIMIT).decode("utf-8", "replace").rstrip("\n")
        finally:
            os.close(handle)

    def write(self, path: str, text: str) -> None:
        """Writes a kernel file in one call.

        Raises:
            OSError: The kernel refused, with its reason.
        """
        handle = os.open(self._real(path), os.O_WRONLY | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
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

    def probe(self, names: Optional[Sequence[str]] = None) -> Dict[str, KnobState]:
        """State of these knobs (all by default). Reads only.

        Raises:
            UnknownKnob: A name is not in the catalogue.
        """
        knobs = list(self.catalogue) if names is None else [self.catalogue[name] for name in names]
        return {knob.name: self._state(knob) for knob in knobs}

    def _state(self, knob: Knob) -> KnobState:
        files = self.files(knob)
        if not files:
            reason = "no block device under the work folder" if "{disk}" in knob.path and not self.disk else ""
            return KnobState(knob.name, False, False, reason=reason or _absence(knob))
        try:
            raw = self.read(files[0])
            value = codec.parse(knob, raw)
        except OSError as error:
            return KnobState(knob.name, False, False, paths=files, reason="cannot be read: %s" % error.strerror)
        except ValueError as error:
            return KnobState(knob.name, False, False, paths=files, reason="not understood: %s" % error)
        choices = tuple(choice for choice in codec.offered(raw) or knob.choices if choice in knob.choices)
        reason = "never tuned: %s" % knob.risk_reason if knob.risk == "forbidden" else ""
        for path in files:
            reason = reason or self._obstacle(path)
        if not reason and knob.kind == "choice" and len(choices) < 2:
            reason = "this kernel offers no alternative"
        return KnobState(knob.name, True, not reason, value, raw, files, choices, reason)

    def _obstacle(self, path: str) -> str:
        real = self._real(path)
        try:
            if os.statvfs(real).f_flag & os.ST_RDONLY:
                return "mounted read-only"
            if not os.stat(real).st_mode & 0o200:
                return "read-only in this kernel"
        except OSError as error:
            return str(error.strerror)
        return ""

    def _real(self, path: str) -> str:
        return os.path.join(self.root, path.lstrip("/"))


def _absence(knob: Knob) -> str:
    if knob.until:
        return "absent in this kernel: gone since Linux %s" % knob.until
    if knob.since:
        return "absent in this kernel: exists since Linux %s, depending on how it was built" % knob.since
    return "absent in this kernel"


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


def quantities(facts: Mapping[str, object]) -> Dict[str, int]:
    """What the catalogue's bounds are functions of, from the agent's facts."""
    memory = int(str(facts["memory_bytes"]))
    return {
        "memory_bytes": memory,
        "memory_kib": memory // 1024,
        "memory_pages": memory // int(str(facts["page_bytes"])),
        "cores": int(str(facts["cores"])),
    }
