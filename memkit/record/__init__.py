"""Recording this process: recorder, spans, limits, trackers, how it exits."""
