"""The OCI runtime: one verb per file, over bundles, container records, hooks and consoles."""
