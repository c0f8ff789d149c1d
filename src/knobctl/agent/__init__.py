"""The program that runs as root on the target: requests in on standard input, answers out on standard output.

Standard library only, Python 3.9 or newer, packed with the ``knobs`` room into one zipapp. Two processes: the
*watcher*, which main starts, and its child, the *agent*, which does the work. When either dies, the other one restores.
"""
