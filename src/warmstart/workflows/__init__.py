"""One file a verb: settings in, record out. Command line, page and Python API call the same."""
