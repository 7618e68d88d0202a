"""A container's keeper: a small process that owns its stdio, logs, attached clients and exit status.

``forkserver`` keeps one ready, ``client`` asks for it. A monitor is four processes at most: the guard (a C program,
``c/guard.c``; ``guard`` is what its workers know of it) lives as long as the container, a worker (``keeper``, or
``executor`` for `exec`) as long as there is something to do, and ``creator``, with an utsuwa-init that waits for its
plan, until the container exists.
"""
