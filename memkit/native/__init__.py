"""The compiled ground floor: reading memory and writing rows. Imports nothing above it but the errors."""
