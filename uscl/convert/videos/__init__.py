"""Convert clips and folders of frames."""
