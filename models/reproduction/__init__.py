"""Every table and figure of the source papers as a named, runnable experiment: one file a paper."""
