"""Protect the people in the clips: pseudonyms, and blanking of burned-in text."""
