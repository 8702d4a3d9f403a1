"""From a target to code objects, and the tracers of lines and calls."""
