"""The four sites: one folder each, with its settings, its URLconf and what its developer had to write."""
