"""Statistics of the finished data set, as tables, figures and one page."""
