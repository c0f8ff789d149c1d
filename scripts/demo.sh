#!/bin/sh
# The whole story in less than eight minutes: a request in plain words, a plan, real trials, a verified result, and a
# machine that is as it was found. `make demo` runs this after the set-up.
#
# Exit status: 0 when the run ended as it should, with a verified improvement or without one; otherwise knobctl's own.
set -u

cd "$(dirname "$0")/.." || exit 1
knobctl=.venv/bin/knobctl
python=.venv/bin/python
request="optimize this system for a PostgreSQL database"
probe=${PROC_SYS:-/proc/sys}/vm/swappiness

find_postgresql() {
    command -v pgbench >/dev/null 2>&1 || return 1
    for initdb in "$(command -v initdb)" /usr/lib/postgresql/*/bin/initdb /usr/pgsql-*/bin/initdb; do
        if [ -x "$initdb" ]; then
            return 0
        fi
    done
    return 1
}

# Says why the real machine cannot be used; silent when it can.
obstacle() {
    if [ "$(id -u)" = 0 ]; then
        writable() { [ -w "$probe" ]; }
    elif sudo -n true 2>/dev/null; then
        writable() { sudo -n test -w "$probe"; }
    else
        echo "you are neither root nor allowed to use sudo without a password"
        return
    fi
    if ! writable; then
        echo "${probe%/vm/swappiness} is read-only here, as in a container"
    elif ! find_postgresql; then
        echo "PostgreSQL and pgbench are not installed"
    fi
}

why=$(obstacle)
set -- tune "$request" --yes --budget 16 --time-budget 7m
if [ -n "$why" ]; then
    set -- "$@" --target simulated
    echo "demo: on the simulated target, because $why; nothing below was measured on this machine"
fi

before=$(mktemp) || exit 1
trap 'rm -f "$before"' EXIT
$python scripts/kernel_settings.py >"$before" || exit 1

printf '$ knobctl'
for word; do
    case $word in
        *' '*) printf ' "%s"' "$word" ;;
        *) printf ' %s' "$word" ;;
    esac
done
printf '\n\n'

trap : INT # Ctrl-C reaches knobctl too, which restores the machine; wait for that, and look
$knobctl "$@"
status=$?
trap - INT

echo
case $status in
    0) echo "demo: finished with a verified improvement (exit status 0)" ;;
    3) echo "demo: finished without a verified improvement, so nothing to apply (exit status 3, which is a success too)" ;;
    *) echo "demo: knobctl ended with exit status $status" ;;
esac
printf 'demo: '
$python scripts/kernel_settings.py --compare "$before" || exit 5
if [ $status = 3 ]; then
    exit 0
fi
exit $status
