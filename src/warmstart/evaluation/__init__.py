"""Scores, intervals, calibration. Pure numpy: no torch, no files, no clock."""
