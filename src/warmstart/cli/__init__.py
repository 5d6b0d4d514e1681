"""The command line: argv in, tables on stderr, results on stdout, exit codes."""
