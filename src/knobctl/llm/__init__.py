"""A language model on the other side of a network: which one, how to reach it, and what may be asked of it.

Instructions, words and read-only tools go in; text that somebody else has to check comes out. Nothing in this room
acts on what a model says, and only ``client`` knows the library that speaks to the providers.
"""
