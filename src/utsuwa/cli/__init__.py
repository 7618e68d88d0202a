"""The command lines: `urun` (oci) and `utsuwa` (main)."""
