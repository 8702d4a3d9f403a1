"""A process and all that it starts: what each does to memory, and what all of them use together."""
