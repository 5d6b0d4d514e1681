"""What to do with which data: pure tables and functions, no torch, no files, no clock."""
