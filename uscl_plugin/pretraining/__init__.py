"""``uscl pretrain``: from clips to a backbone, one command."""
