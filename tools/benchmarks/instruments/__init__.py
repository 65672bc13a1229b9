"""Shared code of ``tools/benchmarks``: measuring speed, killing runs, damaging files."""
