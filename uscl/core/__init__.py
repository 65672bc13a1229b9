"""What every other room uses: files, errors, names, seeds, processes."""
