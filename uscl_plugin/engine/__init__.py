"""Hooks for the MMEngine runner and checkpoint handling."""
