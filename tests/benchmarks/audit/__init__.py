"""The audit with ten million rows beside one with a hundred: ``make bench-admin``."""
