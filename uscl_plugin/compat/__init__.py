"""Workarounds that keep the plugin compatible with the versions of its hosts."""
