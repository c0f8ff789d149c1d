"""The other program that is root: makes proven values permanent, and undoes exactly that.

A program of its own, because it may do what the agent must not: the agent's changes end with the run, so somebody may
be allowed to run it without a password; these stay. Standard library only, Python 3.9 or newer, packed with the
``agent`` and ``knobs`` rooms into one zipapp. It answers requests in the agent's wire format. The first one that
may change something takes the machine's lock, and the program holds it until it ends; knobctl ends it after each.
"""
