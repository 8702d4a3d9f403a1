"""Compiled: what is allocated and freed, by the hooks of allocators."""
