"""The names of other memory profilers, in terms of memkit: change the import line, keep the program."""
