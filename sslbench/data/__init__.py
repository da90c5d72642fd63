"""Data sets, views and loaders."""
