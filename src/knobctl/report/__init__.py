"""Records in, words for people out: the live view of a run, its summary, the plan before it, and the knobs."""
