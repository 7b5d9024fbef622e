"""Fetching pictures: where addresses come from, and how they are fetched."""
