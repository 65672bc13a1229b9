"""From source folders to data folders."""
