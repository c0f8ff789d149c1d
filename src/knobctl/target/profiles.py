"""TuneD's profiles on a machine in, what each of them sets there out. Files are read; nothing is executed.

Facts that this relies on (TuneD's documentation, tuned.conf(5), and its profile loader and merger): a profile is an INI
file with ``=`` alone between key and value; what it includes comes first, and its own sections add to those of the same
name or, with ``replace``, take their place; a file that was read is not read again; a section's type is its name unless
``type`` says otherwise; ``enabled`` switches it off, ``devices`` and the ``_regex`` options bind it to some machines.
"""

from __future__ import annotations

import configparser
import os
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from knobctl.permanent.tuned import Tuned
from knobctl.target.text import clean

LARGEST_FILE = 65_536
"""Bytes of a profile; real ones have some thousand."""

MOST_FILES = 20
"""Files of one profile with all that it includes."""

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_PLAIN = re.compile(r"[<>]?[A-Za-z0-9_.+%-][A-Za-z0-9_.+% \t-]*")
_ABOUT_ITSELF = ("main", "variables")
_OF_EVERY_SECTION = ("type", "enabled", "replace", "devices", "priority")
_CONDITIONS = ("uname_regex", "cpuinfo_regex", "devices_udev_regex")
_LONGEST_VALUE = 200
_SHORT = 60


@dataclass(frozen=True)
class ProfileSetting:
    """One line of a profile.

    Attributes:
        kind: Type of its section, such as ``sysctl``, ``vm`` or ``disk``.
        key: As written.
        value: As written, without quotes. ``>4096`` means: raise to 4096, never lower; ``<`` the other way round.
    """

    kind: str
    key: str
    value: str


@dataclass(frozen=True)
class Profile:
    """A profile with everything that it includes.

    Attributes:
        name: Its name; several that are active together with spaces between them.
        active: It is what TuneD on this machine was told to use, whether TuneD runs or not.
        settings: What it sets on this machine, in TuneD's order: plain values only, without what depends on variables,
            expressions or conditions.
        problem: Why it cannot be used, for people; it has no settings then.
    """

    name: str
    active: bool = False
    settings: tuple[ProfileSetting, ...] = ()
    problem: str = ""


class _Unusable(Exception):
    """A profile that is passed over, with the reason."""


def read_profiles(names: Sequence[str], disk: str = "", root: str = "/") -> tuple[Profile, ...]:
    """The profile that is active, then those of these names that are installed.

    Args:
        names: Profiles; one that is active by itself is not given twice.
        disk: Block device that sections about disks have to mean; empty when there is none.
        root: Folder that holds ``etc`` and ``usr``.
    """
    tuned = Tuned(root)
    active = tuned.active()
    wanted = [(active, True)] if active else []
    wanted += [((name,), False) for name in dict.fromkeys(names) if (name,) != active]
    found = (_read(each, chosen, tuned, disk) for each, chosen in wanted)
    return tuple(profile for profile in found if profile is not None)


def _read(names: Sequence[str], active: bool, tuned: Tuned, disk: str) -> Profile | None:
    title = clean(" ".join(names))[:_SHORT]
    reading = _Reading(tuned)
    try:
        if not any(reading.installed(name) for name in names):
            return None
        for name in names:
            reading.load(name)
    except _Unusable as reason:
        return Profile(title, active, problem=str(reason))
    return Profile(title, active, tuple(_settings(reading.sections, disk)))


class _Reading:
    """A profile while it is read: ``sections`` is what its files say so far."""

    def __init__(self, tuned: Tuned) -> None:
        self.sections: dict[str, dict[str, str]] = {}
        self._folders = tuple(reversed(tuned.folders()))
        self._tuned = tuned
        self._files: set[str] = set()

    def installed(self, name: str) -> bool:
        """Whether there is a file of this name."""
        return bool(self._places(name))

    def load(self, name: str) -> None:
        """Reads a profile and, before it, what it includes. A name that begins with ``-`` need not exist.

        Raises:
            _Unusable: It, or a profile that it needs, is not there or not understood.
        """
        wanted, optional = name.removeprefix("-"), name.startswith("-")
        places = self._places(wanted)
        if not places:
            if optional:
                return
            raise _Unusable(f"{clean(wanted)[:_SHORT]!r}, which it needs, is not installed")
        file = next((place for place in places if place not in self._files), None)
        if file is None:
            return
        self._files.add(file)
        if len(self._files) > MOST_FILES:
            raise _Unusable(f"it includes more than {MOST_FILES} others")
        sections = _parsed(file, self._tuned.real(file))
        include = sections.get("main", {}).pop("include", "")
        for other in re.split(r"\s*[,;]\s*", include) if include else ():
            if "$" in other:
                raise _Unusable(f"{file} includes {clean(other)[:_SHORT]!r}, which only TuneD can work out")
            self.load(other)
        for title, options in sections.items():
            self._add(title, options)

    def _places(self, name: str) -> list[str]:
        """Its files, the most important one first."""
        if not _NAME.fullmatch(name):
            return []
        files = [f"{folder}/{name}/tuned.conf" for folder in self._folders]
        return [file for file in files if _may_be_seen(self._tuned.real(file))]

    def _add(self, title: str, options: Mapping[str, str]) -> None:
        if _yes(options.get("replace", "")):
            self.sections.pop(title, None)
        section = self.sections.setdefault(title, {})
        for key, value in options.items():
            section.pop(key, None)  # what is said last is set last
            section[key] = value


def _may_be_seen(path: str) -> bool:
    try:
        Path(path).stat()
    except (OSError, ValueError):
        return False
    return True


def _parsed(file: str, path: str) -> dict[str, dict[str, str]]:
    parser = configparser.RawConfigParser(
        delimiters=("=",), inline_comment_prefixes=("#",), strict=False, default_section=""
    )
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    try:
        parser.read_string(_text(path), file)
    except (OSError, ValueError, configparser.Error) as error:
        raise _Unusable(f"{file} is not understood: {_reason(error)}") from None
    return {title: dict(parser.items(title)) for title in parser.sections()}


def _text(path: str) -> str:
    """Text of a regular file. A pipe is not waited for, and a device not read."""
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as handle:
        if not stat.S_ISREG(os.fstat(handle.fileno()).st_mode):
            raise ValueError("it is no regular file")
        data = handle.read(LARGEST_FILE + 1)
    if len(data) > LARGEST_FILE:
        raise ValueError(f"it has more than {LARGEST_FILE} bytes")
    return data.decode("utf-8")


def _reason(error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        return "it is no text"
    if isinstance(error, configparser.Error):
        return "it is no INI file"
    return error.strerror or "it cannot be read" if isinstance(error, OSError) else str(error)


def _settings(sections: Mapping[str, Mapping[str, str]], disk: str) -> Iterator[ProfileSetting]:
    for title, options in sections.items():
        kind = options.get("type", title)
        conditional = any(option in options for option in _CONDITIONS)
        if kind in _ABOUT_ITSELF or conditional or not _yes(options.get("enabled", "1")):
            continue
        if "devices" in options and not (kind == "disk" and _means(options["devices"], disk)):
            continue
        for key, raw in options.items():
            value = raw.strip("\"'").strip()
            if key not in _OF_EVERY_SECTION and len(value) <= _LONGEST_VALUE and _PLAIN.fullmatch(value):
                yield ProfileSetting(kind, key, value)


def _means(rules: str, disk: str) -> bool:
    """Whether a list of devices such as ``sd*, !sda`` means this one."""
    words = [word for word in re.split(r"[,;\s]+", rules) if word]
    wanted = [word for word in words if not word.startswith("!")] or ["*"]
    barred = [word[1:] for word in words if word.startswith("!")]
    return (
        bool(disk)
        and any(fnmatchcase(disk, rule) for rule in wanted)
        and not any(fnmatchcase(disk, rule) for rule in barred)
    )


def _yes(word: str) -> bool:
    return word.strip().lower() in ("1", "true", "yes", "on", "y", "t")
