"""Out to registries: who to ask, who to be, and how to bring home what was promised (OCI distribution specification
1.1).
"""
