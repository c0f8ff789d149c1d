"""Entry point of the zipapp: one request per line on standard input, one answer per line on standard output."""

import argparse
import os
import sys
from typing import Any, Dict

from knobctl.agent.catalogue import carried
from knobctl.agent.kernel import Kernel
from knobctl.agent.places import Places, check_permission, take_lock
from knobctl.agent.protocol import BAD_REQUEST, FAILED, RESTORE_INCOMPLETE, AgentError, decode, encode
from knobctl.permanent.apply import apply, rollback
from knobctl.permanent.tuned import SWITCH_SECONDS, Tuned
from knobctl.permanent.ways import SYSCTL_D


def main() -> int:
    """Parses the command line and serves until the input ends."""
    parser = argparse.ArgumentParser(prog="knobctl-permanent", description="Makes knobs permanent, as root.")
    parser.add_argument("--root", default="/", help="folder that holds proc, sys, etc, var and run (for tests)")
    parser.add_argument("--patience", type=float, default=SWITCH_SECONDS, help="seconds for TuneD (for tests)")
    options = parser.parse_args()
    os.umask(0o022)  # everybody may see what is applied, whatever the user keeps to oneself
    places = Places(options.root)
    tuned = Tuned(options.root, options.patience)
    try:
        lock = places.prepare()
    except OSError as error:
        print("knobctl-permanent: cannot use %s: %s" % (error.filename, error.strerror), file=sys.stderr)
        return 77
    for line in sys.stdin.buffer:
        number = None
        try:
            request = decode(line)
            number = request.get("id")
            answer = {"ok": True, **_carry_out(request, places, tuned, lock)}
        except AgentError as error:
            answer = {"ok": False, "code": error.code, "message": error.message, "hint": error.hint}
        except (KeyError, TypeError, ValueError, OSError) as error:
            answer = {"ok": False, "code": FAILED, "message": "%s: %s" % (type(error).__name__, error)}
        sys.stdout.buffer.write(encode({"id": number, **answer}))
        sys.stdout.buffer.flush()
    return 0


def _carry_out(request: Dict[str, Any], places: Places, tuned: Tuned, lock: int) -> Dict[str, Any]:
    operation = request.get("op")
    if operation == "ping":
        return {}
    if operation not in ("apply", "rollback"):
        raise AgentError(BAD_REQUEST, "unknown operation %r" % (operation,))
    check_permission(places)
    take_lock(lock)
    if os.path.exists(places.journal):  # what a run that was cut off left is not the machine's own
        raise AgentError(
            RESTORE_INCOMPLETE, "a run was cut off and its knobs are not back", "Run `knobctl restore` first."
        )
    kernel = Kernel(carried(), places.root, str(request.get("base", "/")))
    if operation == "rollback":
        return rollback(kernel, places, tuned)
    wanted = request["values"]
    if not isinstance(wanted, dict):
        raise AgentError(BAD_REQUEST, "values that are no object")
    values = {kernel.tunable(name): value for name, value in wanted.items()}
    via = str(request.get("via", SYSCTL_D))
    return apply(kernel, places, values, str(request["session"]), str(request["date"]), via, tuned)


if __name__ == "__main__":
    sys.exit(main())
