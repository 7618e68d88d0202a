"""A container's keeper: a small process that owns its stdio, logs, attached clients and exit status.

``forkserver`` forks one per container, ``client`` asks for it, ``keeper`` is its life.
"""
