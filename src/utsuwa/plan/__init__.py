"""Spec and host facts in, the complete list of kernel operations out: pure, lean, and printable."""
