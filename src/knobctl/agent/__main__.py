"""Entry point of the zipapp: without ``--lock`` it is the watcher, with it the agent."""

import argparse
import os
import sys

from knobctl.agent import recovery, server
from knobctl.agent.catalogue import carried
from knobctl.agent.kernel import Kernel
from knobctl.agent.places import Places
from knobctl.agent.watcher import watch


def main() -> int:
    """Parses the command line and runs one of the two processes, or finishes what a run left."""
    parser = argparse.ArgumentParser(prog="knobctl-agent", description="Sets kernel knobs for knobctl, as root.")
    parser.add_argument("--restore", action="store_true", help="put back what an interrupted run left, and end")
    parser.add_argument("--root", default="/", help="folder that holds proc, sys, etc, var and run (for tests)")
    parser.add_argument("--patience", type=float, default=60.0, help="seconds without a sign of life (for tests)")
    parser.add_argument("--lock", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--watcher", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--line", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    os.umask(0o022)  # everybody may see what a run left, whatever the user keeps to oneself
    kernel = Kernel(carried(), options.root)
    places = Places(options.root)
    if options.lock is not None:
        return server.main(kernel, places, options.lock, options.watcher, options.line)
    try:
        lock = places.prepare()
    except OSError as error:
        print("knobctl-agent: cannot use %s: %s" % (error.filename, error.strerror), file=sys.stderr)
        return 77
    if options.restore:
        return recovery.main(kernel, places, lock)
    interpreter = [sys.executable, "-I", "-S", sys.argv[0]]
    return watch([*interpreter, "--root", options.root], kernel, places, lock, options.patience)


if __name__ == "__main__":
    sys.exit(main())
