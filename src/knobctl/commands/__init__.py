"""The command line: words typed in, calls of ``pipeline`` made, results shown. It decides nothing about a machine."""
