"""The noun: a recording and its rows, and every file format that is read."""
