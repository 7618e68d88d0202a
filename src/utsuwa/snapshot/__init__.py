"""Layers and what is built from them: archives applied to trees, trees stacked for containers."""
