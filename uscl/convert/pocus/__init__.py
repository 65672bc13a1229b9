"""The layouts in which POCUS comes."""
