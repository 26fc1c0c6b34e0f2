"""The database fixtures."""
