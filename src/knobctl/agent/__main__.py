"""Entry point of the zipapp: without ``--lock`` it is the watcher, with it the agent."""

import argparse
import json
import os
import pkgutil
import sys

from knobctl.agent import server
from knobctl.agent.kernel import Kernel
from knobctl.agent.places import Places
from knobctl.agent.watcher import watch
from knobctl.knobs import Catalogue


def main() -> int:
    """Parses the command line and runs one of the two processes."""
    parser = argparse.ArgumentParser(prog="knobctl-agent", description="Sets kernel knobs for knobctl, as root.")
    parser.add_argument("--root", default="/", help="folder that holds proc, sys, etc, var and run (for tests)")
    parser.add_argument("--folder", default="/var/tmp", help="where work folders are made")
    parser.add_argument("--lock", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--watcher", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    data = pkgutil.get_data("knobctl.knobs", "catalogue.json")
    assert data is not None
    kernel = Kernel(Catalogue.from_records(json.loads(data)), options.root, options.folder)
    places = Places(options.root)
    if options.lock is not None:
        return server.main(kernel, places, options.lock, options.watcher)
    try:
        places.make()
        lock = os.open(places.lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    except OSError as error:
        print("knobctl-agent: cannot use %s: %s" % (error.filename, error.strerror), file=sys.stderr)
        return 77
    interpreter = [sys.executable, "-I", "-S", sys.argv[0]]
    return watch([*interpreter, "--root", options.root, "--folder", options.folder], kernel, places, lock)


if __name__ == "__main__":
    sys.exit(main())
