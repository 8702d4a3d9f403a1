"""The page: one HTML file with all that a recording has, for people to look at and for memkit to read back."""
