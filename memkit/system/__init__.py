"""What the kernel and the machine tell: meters, limits, control groups, processes."""
