"""What everything stands on: errors, units, paths, locks, the plugin host. It knows nothing of memory."""
