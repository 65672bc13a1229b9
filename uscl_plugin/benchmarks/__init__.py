"""How fast pretraining runs, and beside the authors' released code: see ``tools/benchmarks/throughput.py``."""
