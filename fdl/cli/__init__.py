"""The command line: flags in, an exit code and one-line errors out."""
