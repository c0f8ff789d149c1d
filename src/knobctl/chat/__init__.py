"""A conversation: a person's words in; plans, runs, explanations and changes out, each of them behind a direct yes."""
