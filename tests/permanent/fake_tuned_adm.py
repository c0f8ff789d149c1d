"""Stands for TuneD's ``tuned-adm`` and its daemon, below the root folder that it lies in.

A switch gives the settings of the old profile back, sets those of the new one and what it includes, and then those of
``/run/sysctl.d``, ``/etc/sysctl.d`` and ``/etc/sysctl.conf``, unless ``reapply_sysctl`` is off. What goes wrong is in
the file ``usr/lib/trouble``: ``fail``, ``hang`` or ``lie`` (do nothing and say that all is well); with ``-late`` only
after the switch; with ``-knobctl`` only for our profile.
"""

import json
import re
import sys
import time
from configparser import RawConfigParser
from pathlib import Path

ROOT = Path(sys.argv[0]).resolve().parents[2]
STATE = ROOT / "run/tuned/originals.json"
FOLDERS = ("etc/tuned/profiles", "etc/tuned", "usr/lib/tuned/profiles", "usr/lib/tuned")


def text(path):
    return (ROOT / path).read_text() if (ROOT / path).exists() else ""


def write(path, content):
    (ROOT / path).parent.mkdir(parents=True, exist_ok=True)
    (ROOT / path).write_text(content)


def settings(name):
    """Kernel files with their texts of a profile on top of what it includes."""
    file = next((found for folder in FOLDERS if (found := ROOT / folder / name / "tuned.conf").exists()), None)
    if file is None:
        sys.exit(f"Cannot find profile '{name}'.")
    parser = RawConfigParser(delimiters=("=",), inline_comment_prefixes=("#",), strict=False)
    parser.optionxform = str
    parser.read(file)
    found = {}
    for included in re.split(r"\s*[,;]\s*", parser.get("main", "include", fallback="")):
        found.update(settings(included) if included else {})
    for section, values in (("sysctl", "proc/sys/"), ("sysfs", "")):
        for key, value in parser.items(section) if parser.has_section(section) else ():
            path = values + key.translate(str.maketrans("./", "/.")) if values else key.lstrip("/")
            if (ROOT / path).exists():
                found[path] = value
    return found


def switch(names):
    for path, original in json.loads(text(STATE) or "{}").items():
        write(path, original)
    wanted = {}
    for name in names:
        wanted.update(settings(name))
    write(STATE, json.dumps({path: text(path) for path in wanted}))
    for path, value in wanted.items():
        write(path, value + "\n")
    if not re.search(r"(?m)^reapply_sysctl *= *0", text("etc/tuned/tuned-main.conf")):
        files = {file.name: file for folder in ("etc", "run") for file in (ROOT / folder / "sysctl.d").glob("*.conf")}
        for file in [*(files[name] for name in sorted(files)), ROOT / "etc/sysctl.conf"]:
            for line in text(file).splitlines():
                key, _, value = line.partition("=")
                if value and (ROOT / "proc/sys" / key.strip().replace(".", "/")).exists():
                    write("proc/sys/" + key.strip().replace(".", "/"), value.strip() + "\n")


def go_wrong(late, names):
    trouble = text("usr/lib/trouble").strip()
    if ("-late" in trouble) != late or ("-knobctl" in trouble and names != ["knobctl"]):
        return
    if trouble.startswith("hang"):
        time.sleep(60)
    if trouble.startswith("fail"):
        print("\x1b[31mCannot talk to TuneD daemon via DBus.")
        sys.exit(1)
    if trouble.startswith("lie"):
        sys.exit(0)


def main():
    command, *names = sys.argv[1:]
    with (ROOT / "calls").open("a") as calls:
        calls.write(" ".join(sys.argv[1:]) + "\n")
    go_wrong(False, names)
    automatic = command == "auto_profile"
    names = text("usr/lib/recommended").split() if automatic else names
    switch(names)
    write("etc/tuned/active_profile", " ".join(names) + "\n" if names else "")
    write("etc/tuned/profile_mode", "auto\n" if automatic else "manual\n")
    go_wrong(True, names)


main()
