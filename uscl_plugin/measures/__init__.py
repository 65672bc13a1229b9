"""What a network makes of images: pooled features, residual branches, similarities of pairs."""
