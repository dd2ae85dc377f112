"""Commands that an administrator types beside a running service."""
