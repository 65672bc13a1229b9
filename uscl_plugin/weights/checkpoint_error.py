"""The error for reading, converting and writing checkpoints."""


class CheckpointError(ValueError):
    """A checkpoint cannot be used as it is; the message is one sentence with the remedy."""
