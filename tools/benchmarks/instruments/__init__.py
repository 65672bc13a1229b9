"""What the scripts of ``tools/benchmarks`` measure and break: speed, kills, damaged files."""
