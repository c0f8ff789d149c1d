"""A folder that stands for ``/`` gets a TuneD: a running daemon, two profiles, and a ``tuned-adm`` that acts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

FAKE = Path(__file__).with_name("fake_tuned_adm.py")
BASE = "# the distribution's\n[main]\nsummary=base\n\n[sysctl]\nvm.dirty_ratio=40\nvm.min_free_kbytes=70000\n"


class TunedMachine:
    """The TuneD of a machine below a root folder; it begins with the profile ``base``, chosen by hand.

    Args:
        root: The folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.write("proc/4242/comm", "tuned\n")
        self.write("usr/lib/tuned/base/tuned.conf", BASE)
        self.write("usr/lib/tuned/other/tuned.conf", "[main]\n[sysctl]\nvm.swappiness=77\n")
        (root / "etc/tuned").mkdir(parents=True)
        self.program = root / "usr/sbin/tuned-adm"
        self.write("usr/sbin/tuned-adm", f"#!{sys.executable} -IS\n{FAKE.read_text()}")
        self.program.chmod(0o755)
        self.choose("base")

    def write(self, path: str, text: str) -> None:
        """A file below the root."""
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def text(self, path: str) -> str:
        """Text of a file below the root; empty when there is none."""
        file = self.root / path
        return file.read_text() if file.exists() else ""

    def choose(self, *names: str, automatic: bool = False) -> None:
        """What an administrator does with ``tuned-adm``."""
        words = ["auto_profile"] if automatic else ["profile", *names] if names else ["off"]
        subprocess.run([self.program, *words], check=True)
        (self.root / "calls").unlink()

    def trouble(self, kind: str) -> None:
        """From now on ``tuned-adm`` goes wrong in this way; empty for not any more."""
        self.write("usr/lib/trouble", kind)

    @property
    def active(self) -> tuple[str, str]:
        """Profile and mode, as the daemon would load them when it starts."""
        return self.text("etc/tuned/active_profile").strip(), self.text("etc/tuned/profile_mode").strip()

    @property
    def calls(self) -> list[str]:
        """What ``tuned-adm`` was called with."""
        return self.text("calls").splitlines()

    @property
    def profile(self) -> str:
        """Text of our profile."""
        return self.text("etc/tuned/knobctl/tuned.conf")

    def everything(self) -> dict[str, str]:
        """Every file of the machine but logs of this fake's, and every folder below ``etc``."""
        left_out = {"calls", "run/tuned/originals.json", "usr/lib/trouble", "run/knobctl/lock"}
        files = {str(path.relative_to(self.root)): path for path in self.root.rglob("*") if path.is_file()}
        folders = {str(path.relative_to(self.root)): "" for path in (self.root / "etc").rglob("*") if path.is_dir()}
        return {**folders, **{name: path.read_text() for name, path in files.items() if name not in left_out}}
