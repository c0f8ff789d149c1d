"""The command line: words typed in, calls of ``pipeline`` made, results shown. No decision about a machine lives here."""
