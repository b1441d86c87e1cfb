"""What a login costs, beside what it costs on other libraries: ``make bench`` (docs/benchmarks.rst)."""
