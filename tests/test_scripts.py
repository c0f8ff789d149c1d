"""The set-up, the demonstration and the page generator, run for real in a copy of the project.

What the scripts call (python3, apt-get, sudo, knobctl) are small programs in a folder that is all of PATH.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import kernel_settings  # scripts/kernel_settings.py
import pytest

ROOT = Path(__file__).parent.parent
SCRIPTS = sorted((ROOT / "scripts").glob("*.sh"))
TOOLS = ("initdb", "pgbench", "sysbench", "nginx", "ab", "wrk", "fio")
SYSTEM = (
    "awk", "cat", "chmod", "cut", "dirname", "env", "grep", "id", "ln", "mkdir", "mktemp", "rm", "sh", "sha256sum",
    "tail", "tee", "touch", "true",
)  # fmt: skip

PYTHON = """#!/bin/sh
# Stands for every Python: makes environments and notes what is installed into them.
case "$*" in
    "-c import sys; raise SystemExit(sys.version_info < (3, 11))") [ ! -e "$HERE/python-is-old" ] ;;
    "-c import venv, ensurepip") [ ! -e "$HERE/venv-is-missing" ] ;;
    "-c import sys; print("*) echo python3.11-venv ;;
    --version) echo Python 3.11.7 ;;
    "-m venv --clear "*)
        echo "venv" >>"$HERE/calls"
        mkdir -p .venv/bin && cat "$HERE/bin/python3" >.venv/bin/python && chmod +x .venv/bin/python
        echo "VIRTUAL_ENV=$(pwd)/.venv" >.venv/bin/activate ;;
    "-m pip install --disable-pip-version-check --no-compile "*)
        shift 5
        echo "pip $*" >>"$HERE/calls"
        if [ -e "$HERE/pip-fails" ]; then echo "no such version"; exit 1; fi
        case "$*" in *--editable*) touch .venv/bin/knobctl && chmod +x .venv/bin/knobctl ;; esac ;;
    *) echo "unexpected: $*" >&2; exit 99 ;;
esac
"""
APT = """#!/bin/sh
echo "apt-get $*" >>"$HERE/calls"
if [ -e "$POLICY_RC_D" ]; then echo "policy: $("$POLICY_RC_D"; echo $?)" >>"$HERE/calls"; fi
for last; do :; done
case "$1:$last" in
    update:*) touch "$HERE/lists" ;;
    *:wrk) exit 100 ;;
    *) [ -e "$HERE/lists" ] || exit 100; echo '#!/bin/sh' >"$HERE/bin/$last" && chmod +x "$HERE/bin/$last" ;;
esac
"""


@dataclass
class Machine:
    """A project folder and a PATH of our own."""

    home: Path
    variables: dict[str, str]
    folder: str = "project"

    @property
    def project(self) -> Path:
        return self.home / self.folder

    def program(self, name: str, text: str = "#!/bin/sh\n") -> None:
        path = self.home / "bin" / name
        path.unlink(missing_ok=True)
        path.write_text(text)
        path.chmod(0o755)

    def remove(self, *names: str) -> None:
        for name in names:
            (self.home / "bin" / name).unlink()

    def become(self, user: int) -> None:
        self.program("id", f"#!/bin/sh\necho {user}\n")

    def calls(self) -> list[str]:
        path = self.home / "calls"
        lines = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return lines

    def run(self, script: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(self.project / "scripts" / script)],
            env={"PATH": str(self.home / "bin"), "HERE": str(self.home), **self.variables},
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    project = tmp_path / "project"
    (tmp_path / "bin").mkdir()
    (project / "scripts").mkdir(parents=True)
    for name in ("pyproject.toml", "constraints.txt", "scripts/setup.sh", "scripts/demo.sh"):
        shutil.copy(ROOT / name, project / name)
    for name in SYSTEM:
        (tmp_path / "bin" / name).symlink_to(shutil.which(name) or "/missing")
    fresh = Machine(tmp_path, {"POLICY_RC_D": str(tmp_path / "policy-rc.d")})
    fresh.program("python3", PYTHON)
    for tool in TOOLS:
        fresh.program(tool)
    return fresh


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_shell_scripts_are_executable_and_parse(script: Path) -> None:
    assert os.access(script, os.X_OK)
    subprocess.run(["sh", "-n", script], check=True)


def test_ci_runs_what_everybody_runs() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert script.read_text().splitlines()[-1] == "exec make test"


@pytest.mark.parametrize("target", ["demo", "test", "bench", "test-long"])
def test_make_sets_up_before_anything_else(target: str) -> None:
    planned = subprocess.run(
        ["make", "--dry-run", "--no-print-directory", target], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert planned[0] == "scripts/setup.sh"
    assert len(planned) > 1


# --- set-up


def test_setup_installs_torch_first_and_knobctl_last(machine: Machine) -> None:
    done = machine.run("setup.sh")
    assert (done.returncode, done.stderr) == (0, "")
    assert machine.calls() == [
        "venv",
        "pip --constraint constraints.txt torch==2.13.0",
        "pip --requirement constraints.txt",
        "pip --no-deps --no-build-isolation --editable .",
    ]
    assert done.stdout.splitlines()[-1] == "setup: ready"


def test_setup_does_nothing_the_second_time_and_is_quick(machine: Machine) -> None:
    machine.run("setup.sh")
    machine.calls()
    started = time.monotonic()
    done = machine.run("setup.sh")
    assert time.monotonic() - started < 0.3
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert machine.calls() == []


@pytest.mark.parametrize("name", ["pyproject.toml", "constraints.txt", "scripts/setup.sh"])
def test_setup_runs_again_when_what_it_installs_changed(machine: Machine, name: str) -> None:
    machine.run("setup.sh")
    machine.calls()
    with (machine.project / name).open("a") as file:
        file.write("\n# changed\n")
    machine.run("setup.sh")
    assert machine.calls()[0] == "pip --constraint constraints.txt torch==2.13.0"


def test_setup_makes_a_moved_environment_again(machine: Machine) -> None:
    machine.run("setup.sh")
    machine.calls()
    machine.project.rename(machine.home / "elsewhere")
    machine.folder = "elsewhere"
    assert machine.run("setup.sh").returncode == 0
    assert machine.calls()[0] == "venv"


def test_setup_wants_a_new_enough_python(machine: Machine) -> None:
    (machine.home / "python-is-old").touch()
    done = machine.run("setup.sh")
    assert done.returncode == 1
    assert done.stderr == (
        "setup: needs Python 3.11 or newer, found none as python3, python3.11, python3.12 or python3.13; "
        "install one, or set PYTHON\n"
    )
    assert not (machine.project / ".venv").exists()


def test_setup_shows_why_pip_failed(machine: Machine) -> None:
    (machine.home / "pip-fails").touch()
    done = machine.run("setup.sh")
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "no such version",
        "setup: pip install --constraint constraints.txt torch==2.13.0 failed; the whole output is in .venv/setup.log",
    ]
    assert not (machine.project / ".venv/setup.stamp").exists()


def test_setup_without_permission_names_the_missing_tools_and_goes_on(machine: Machine) -> None:
    machine.become(1000)
    machine.remove("sysbench", "wrk")
    machine.program("apt-get", APT)
    done = machine.run("setup.sh")
    assert done.returncode == 0
    assert (
        "setup: not installed, and neither root nor passwordless sudo: sysbench wrk (the simulated target needs none)"
        in done.stdout.splitlines()
    )
    assert not [call for call in machine.calls() if call.startswith("apt-get")]
    assert machine.run("setup.sh").stdout == ""


def test_setup_installs_what_is_missing_and_starts_no_service(machine: Machine) -> None:
    machine.become(0)
    machine.remove("sysbench", "wrk")
    machine.program("apt-get", APT)
    done = machine.run("setup.sh")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert "setup: installing sysbench: measures CPU, memory, threads and files" in lines
    assert "setup: could not install wrk; benchmarks that need it will say so" in lines
    apt = [call for call in machine.calls() if not call.startswith(("pip", "venv"))]
    options = "install -y --no-install-recommends -o DPkg::Lock::Timeout=60"
    assert [call for call in apt if call.startswith("apt-get")] == [
        f"apt-get {options} sysbench",
        "apt-get update",
        f"apt-get {options} sysbench",
        f"apt-get {options} wrk",
    ]
    assert apt.count("policy: 101") == 4
    assert not (machine.home / "policy-rc.d").exists()
    assert machine.run("setup.sh").stdout == ""
    assert machine.calls() == []


def test_setup_keeps_a_policy_that_was_there(machine: Machine) -> None:
    machine.become(0)
    machine.remove("fio")
    machine.program("apt-get", APT)
    policy = machine.home / "policy-rc.d"
    policy.write_text("#!/bin/sh\nexit 0\n")
    policy.chmod(0o755)
    machine.run("setup.sh")
    assert "policy: 0" in machine.calls()
    assert policy.read_text() == "#!/bin/sh\nexit 0\n"


def test_setup_uses_sudo_and_dnf_where_they_are(machine: Machine) -> None:
    machine.become(1000)
    machine.remove("pgbench", "ab")
    machine.program("sudo", '#!/bin/sh\nshift\nexec "$@"\n')
    machine.program("dnf", '#!/bin/sh\necho "dnf $*" >>"$HERE/calls"\n')
    machine.run("setup.sh")
    assert [call for call in machine.calls() if call.startswith("dnf")] == [
        "dnf install -y --setopt=install_weak_deps=False postgresql-contrib",
        "dnf install -y --setopt=install_weak_deps=False httpd-tools",
    ]


# --- demonstration


@pytest.fixture
def demo(machine: Machine) -> Machine:
    """A machine that is set up, where `knobctl` notes its arguments and ends as told."""
    (machine.home / "proc/vm").mkdir(parents=True)
    (machine.home / "proc/vm/swappiness").write_text("60\n")
    machine.variables["PROC_SYS"] = str(machine.home / "proc")
    machine.become(0)
    commands = machine.project / ".venv" / "bin"
    commands.mkdir(parents=True)
    (commands / "python").symlink_to(sys.executable)
    fake = commands / "knobctl"
    fake.write_text('#!/bin/sh\necho "$*" >>"$HERE/calls"\n. "$HERE/behave"\n')
    fake.chmod(0o755)
    (machine.home / "behave").write_text("exit 0\n")
    (machine.project / "scripts/kernel_settings.py").write_text(
        "import json, pathlib, sys\n"
        f"now = pathlib.Path({str(machine.home / 'proc/vm/swappiness')!r}).read_text()\n"
        "if sys.argv[1:2] == ['--compare']:\n"
        "    same = json.loads(pathlib.Path(sys.argv[2]).read_text()) == now\n"
        "    print('identical' if same else 'DIFFERENT')\n"
        "    sys.exit(not same)\n"
        "print(json.dumps(now))\n"
    )
    return machine


TUNE = "tune optimize this system for a PostgreSQL database --yes --budget 16 --time-budget 7m"


def test_demo_tunes_the_real_machine_where_it_can(demo: Machine) -> None:
    done = demo.run("demo.sh")
    assert demo.calls() == [TUNE]
    assert done.returncode == 0
    assert "finished with a verified improvement (exit status 0)" in done.stdout
    assert done.stdout.splitlines()[-1] == "demo: identical"
    assert (
        done.stdout.splitlines()[0]
        == '$ knobctl tune "optimize this system for a PostgreSQL database" --yes --budget 16 --time-budget 7m'
    )


def test_demo_simulates_without_permission(demo: Machine) -> None:
    demo.become(1000)
    done = demo.run("demo.sh")
    assert demo.calls() == [f"{TUNE} --target simulated"]
    assert done.stdout.splitlines()[0] == (
        "demo: on the simulated target, because you are neither root nor allowed to use sudo without a password; "
        "nothing below was measured on this machine"
    )


def test_demo_simulates_where_the_kernel_interface_cannot_be_written(demo: Machine) -> None:
    demo.variables["PROC_SYS"] = str(demo.home / "gone")
    done = demo.run("demo.sh")
    assert demo.calls() == [f"{TUNE} --target simulated"]
    assert f"because {demo.home}/gone is read-only here, as in a container" in done.stdout


def test_demo_simulates_without_postgresql(demo: Machine) -> None:
    demo.remove("pgbench")
    done = demo.run("demo.sh")
    assert demo.calls() == [f"{TUNE} --target simulated"]
    assert "because PostgreSQL and pgbench are not installed" in done.stdout


def test_demo_counts_no_improvement_as_a_success(demo: Machine) -> None:
    (demo.home / "behave").write_text("exit 3\n")
    done = demo.run("demo.sh")
    assert done.returncode == 0
    assert "finished without a verified improvement" in done.stdout


@pytest.mark.parametrize("status", [1, 4, 5, 6, 75, 77, 130])
def test_demo_passes_every_other_exit_status_on(demo: Machine, status: int) -> None:
    (demo.home / "behave").write_text(f"exit {status}\n")
    done = demo.run("demo.sh")
    assert done.returncode == status
    assert f"demo: knobctl ended with exit status {status}" in done.stdout


def test_demo_says_when_a_setting_is_not_back(demo: Machine) -> None:
    (demo.home / "behave").write_text('echo 10 >"$HERE/proc/vm/swappiness"\n')
    done = demo.run("demo.sh")
    assert done.returncode == 5
    assert done.stdout.splitlines()[-1] == "demo: DIFFERENT"


# --- kernel settings


def test_kernel_settings_reads_what_the_kernel_shows() -> None:
    found = kernel_settings.settings()
    assert found["/proc/sys/vm/swappiness"] == Path("/proc/sys/vm/swappiness").read_text().strip()
    assert len(found) >= 40


def test_kernel_settings_names_what_differs() -> None:
    before = {"/a": "1", "/b": "2", "/c": "3"}
    assert kernel_settings.differences(before, {"/a": "1", "/b": "20", "/d": "4"}) == [
        "/b was '2' and is '20'",
        "/c was '3' and is '(gone)'",
    ]


def test_kernel_settings_compares_with_an_earlier_look(tmp_path: Path) -> None:
    script = [sys.executable, str(ROOT / "scripts/kernel_settings.py")]
    shown = json.loads(subprocess.run(script, capture_output=True, text=True, check=True).stdout)
    before = tmp_path / "before.json"
    before.write_text(json.dumps({"/proc/sys/vm/swappiness": shown["/proc/sys/vm/swappiness"]}))
    same = subprocess.run([*script, "--compare", before], capture_output=True, text=True, check=False)
    assert (same.returncode, same.stdout) == (0, "kernel settings identical before and after (1 compared)\n")
    before.write_text(json.dumps({"/proc/sys/vm/swappiness": "-1"}))
    other = subprocess.run([*script, "--compare", before], capture_output=True, text=True, check=False)
    assert other.returncode == 1
    assert other.stdout.startswith("DIFFERENT: /proc/sys/vm/swappiness was '-1' and is ")


# --- generated pages


def test_a_stale_page_is_found(tmp_path: Path) -> None:
    (tmp_path / "knobs.md").write_text("# Knobs\n\nold\n")
    script = [sys.executable, str(ROOT / "scripts/generate_docs.py"), "--check", "--folder", str(tmp_path), "knobs"]
    done = subprocess.run(script, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 1
    assert "-old" in done.stdout
    assert "knobs.md is not what the program says; run scripts/generate_docs.py" in done.stderr
