"""Stored activations and features: keys, rows, the index of files. Imports no torch."""
