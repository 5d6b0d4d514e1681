"""How long a test waits for another process: until something hangs. However busy the machine is, what works has come by then."""

PATIENCE_S = 900.0
