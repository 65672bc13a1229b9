"""The error of whatever reads, converts or writes a checkpoint."""


class CheckpointError(ValueError):
    """A checkpoint cannot be used as it is; the message is one sentence with the remedy."""
