"""How large a program is going to be: peaks of runs as a function of their size, and what follows from it."""
