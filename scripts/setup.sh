#!/bin/sh
# Makes a fresh machine ready for knobctl: a virtual environment in .venv, and the benchmark tools.
#
# Needs python3 (3.11 or newer); root or passwordless sudo for tools that are missing. Does nothing, quickly, when
# nothing has changed since the last time. Whatever it installs, no service is started and none is left enabled.
#
# PYTHON=/path/to/python   choose the interpreter
# KNOBCTL_SETUP_TOOLS=no   leave the machine's packages alone: only the virtual environment
# KNOBCTL_SETUP_BROWSER=yes   a Chromium as well, for the tests of the report that `make test-long` runs
set -eu

cd "$(dirname "$0")/.."
venv=.venv
stamp=$venv/setup.stamp
log=$venv/setup.log
policy=${POLICY_RC_D:-/usr/sbin/policy-rc.d}

say() { printf 'setup: %s\n' "$*"; }
die() {
    printf 'setup: %s\n' "$*" >&2
    exit 1
}
have() { command -v "$1" >/dev/null 2>&1; }

# ---------------------------------------------------------------------------------------------- what is missing

# Distributions keep PostgreSQL's server programs out of PATH, in a folder per version.
have_postgresql() {
    for initdb in "$(command -v initdb || true)" /usr/lib/postgresql/*/bin/initdb /usr/pgsql-*/bin/initdb; do
        if [ -x "$initdb" ]; then
            return 0
        fi
    done
    return 1
}

missing_tools() {
    if [ "${KNOBCTL_SETUP_TOOLS:-yes}" = no ]; then
        return 0
    fi
    have_postgresql || echo postgresql
    for tool in pgbench sysbench nginx ab wrk fio; do
        have "$tool" || echo "$tool"
    done
    if [ "${KNOBCTL_SETUP_BROWSER:-no}" = yes ]; then
        for tool in chromium chromedriver; do
            have "$tool" || echo "$tool"
        done
    fi
}

reason() {
    case $1 in
        postgresql) echo "the server that pgbench measures (knobctl starts a throw-away one)" ;;
        pgbench) echo "measures PostgreSQL transactions" ;;
        sysbench) echo "measures CPU, memory, threads and files" ;;
        nginx) echo "the web server that ab and wrk measure (knobctl starts a throw-away one)" ;;
        ab) echo "measures web requests" ;;
        wrk) echo "measures web requests on many connections (optional)" ;;
        fio) echo "measures disks (optional)" ;;
        chromium | chromedriver) echo "shows the report to its tests" ;;
        venv) echo "python3 -m venv cannot make the environment without it" ;;
    esac
}

package_of() { # manager, tool
    case $1:$2 in
        apt:postgresql | apt:pgbench) echo postgresql ;;
        dnf:postgresql) echo postgresql-server ;;
        dnf:pgbench) echo postgresql-contrib ;;
        apt:ab) echo apache2-utils ;;
        apt:chromedriver) echo chromium-driver ;;
        dnf:ab) echo httpd-tools ;;
        *) echo "$2" ;;
    esac
}

# Root needs no prefix; others may have sudo without a password. Sets $privileged and $as_root.
as_root=
privileged=yes
find_privilege() {
    if [ "$(id -u)" != 0 ]; then
        if have sudo && sudo -n true 2>/dev/null; then
            as_root="sudo -n"
        else
            privileged=no
        fi
    fi
}

# The stamp says what was set up, and what could not be installed with which permission: that is not tried again.
fingerprint() {
    sum=$({ pwd && cat pyproject.toml constraints.txt scripts/setup.sh; } | sha256sum)
    echo "${sum%% *} privileged=$privileged missing=$(echo $1)"
}

missing=$(missing_tools)
if [ -n "$missing" ]; then
    find_privilege
fi
if [ -x $venv/bin/knobctl ] && [ -f $stamp ] && [ "$(cat $stamp)" = "$(fingerprint "$missing")" ]; then
    exit 0
fi

# ---------------------------------------------------------------------------------------------- system packages

manager=
if have apt-get; then
    manager=apt
elif have dnf; then
    manager=dnf
fi

# On Debian and Ubuntu a package starts its service when it is installed, unless a policy says no.
policy_is_ours=no
forbid_service_starts() {
    if [ $manager = apt ] && [ ! -e "$policy" ]; then
        policy_is_ours=yes
        printf '#!/bin/sh\nexit 101\n' | $as_root tee "$policy" >/dev/null
        $as_root chmod 755 "$policy"
    fi
}
allow_service_starts() {
    if [ $policy_is_ours = yes ]; then
        policy_is_ours=no
        $as_root rm -f "$policy"
    fi
}
trap allow_service_starts EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

lists_are_fresh=no
install_package() {
    if [ $manager = dnf ]; then
        $as_root dnf install -y --setopt=install_weak_deps=False "$1" >>"$log" 2>&1
        return
    fi
    apt_install "$1" && return
    if [ $lists_are_fresh = yes ]; then
        return 1
    fi
    lists_are_fresh=yes
    $as_root apt-get update >>"$log" 2>&1 || true
    apt_install "$1"
}
apt_install() {
    $as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y --no-install-recommends -o DPkg::Lock::Timeout=60 "$1" >>"$log" 2>&1 </dev/null
}

# Debian and Ubuntu also enable a service for the next boot; nobody asked for that.
disable_service() {
    if [ $manager = apt ] && [ -d /run/systemd/system ]; then
        $as_root systemctl disable --quiet "$1.service" >>"$log" 2>&1 || true
    fi
}

install_tools() {
    for tool in $missing; do
        package=$(package_of $manager "$tool")
        if [ "$tool" = pgbench ] && have pgbench; then
            continue # came with the server
        fi
        say "installing $package: $(reason "$tool")"
        if ! install_package "$package"; then
            say "could not install $package; benchmarks that need it will say so"
            continue
        fi
        case $tool in postgresql | nginx) disable_service "$tool" ;; esac
    done
}

# ---------------------------------------------------------------------------------------------- Python

find_python() {
    for candidate in ${PYTHON:-python3 python3.11 python3.12 python3.13}; do
        if have "$candidate" &&
            "$candidate" -c 'import sys; raise SystemExit(sys.version_info < (3, 11))' 2>/dev/null; then
            python=$candidate
            return 0
        fi
    done
    die "needs Python 3.11 or newer, found none as ${PYTHON:-python3, python3.11, python3.12 or python3.13}; install one, or set PYTHON"
}

need_venv_module() {
    if "$python" -c 'import venv, ensurepip' 2>/dev/null; then
        return 0
    fi
    find_privilege
    package=$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
    if [ "$manager" != apt ] || [ $privileged = no ]; then
        die "$python has no venv module; install $package and run this again"
    fi
    say "installing $package: $(reason venv)"
    install_package "$package" || die "could not install $package; see $log"
}

pip_install() {
    if ! $venv/bin/python -m pip install --disable-pip-version-check --no-compile "$@" >>$log 2>&1; then
        tail -n 5 $log >&2
        die "pip install $* failed; the whole output is in $log"
    fi
}

# An environment knows its own path: one that was moved, or whose Python is gone, is made again.
environment_is_usable() {
    $venv/bin/python -c 'import sys; raise SystemExit(sys.version_info < (3, 11))' 2>/dev/null &&
        grep -qF "$(pwd)/$venv" $venv/bin/activate
}

install_python_packages() {
    if ! environment_is_usable; then
        say "making $venv with $("$python" --version)"
        "$python" -m venv --clear $venv || die "$python could not make $venv"
    fi
    torch=$(grep '^torch==' constraints.txt)
    say "installing $torch: trains the policy (the largest download, some hundred megabytes)"
    pip_install --constraint constraints.txt "$torch"
    say "installing the other packages of constraints.txt"
    pip_install --requirement constraints.txt
    say "installing knobctl itself, editable"
    pip_install --no-deps --no-build-isolation --editable .
}

find_python
mkdir -p $venv
: >$log
need_venv_module
python_part=$(fingerprint "")
if [ ! -x $venv/bin/knobctl ] || [ ! -f $stamp ] || [ "$(cut -d' ' -f1 $stamp)" != "${python_part%% *}" ]; then
    install_python_packages
fi

if [ -n "$missing" ]; then
    if [ -z "$manager" ]; then
        say "not installed, and neither apt-get nor dnf is here: $(echo $missing) (the simulated target needs none)"
    elif [ $privileged = no ]; then
        say "not installed, and neither root nor passwordless sudo: $(echo $missing) (the simulated target needs none)"
    else
        forbid_service_starts
        install_tools
        allow_service_starts
    fi
fi
fingerprint "$(missing_tools)" >$stamp
say "ready"
