"""utsuwa (器, "vessel"): containers, whole, from the kernel up, in Python."""

__version__ = "0.1.0"
