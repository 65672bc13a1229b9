"""What keeps the plugin working beside the versions of its hosts."""
