"""Trials of `benchmarks/faults.py`, one module a kind of fault."""
