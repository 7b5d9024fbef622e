"""The machinery: pure functions on pictures and sound, and the runner that maps them over shards."""
