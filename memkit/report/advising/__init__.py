"""What would lower the peak of a recorded program, each with its estimate and the rows that it is drawn from."""
