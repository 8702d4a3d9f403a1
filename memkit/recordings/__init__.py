"""Recordings, the noun in the middle: what one holds, and how it is read, joined and found."""
