"""Compiled: the tracers of lines and calls, the gate, the event log."""
