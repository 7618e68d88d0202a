"""The systemd cgroup driver: a container's cgroup is a scope (or slice) that systemd makes and knows of, by D-Bus.

Two masters of one tree get in each other's way: on a host whose cgroups are systemd's, it resets what it has not been
told of. So limits are properties of the unit first; what systemd has no property for is written to the files.

The D-Bus speaker is our own (``wire``, ``bus``; 250 lines): `urun` runs from an interpreter without site-packages,
ctypes and libsystemd cost 3 ms and are not there for a static program, and the libraries of the field import asyncio,
typing or enum. What is needed of D-Bus is small: a Unix socket, EXTERNAL authentication, six calls and one signal.

Nothing here is imported unless ``--systemd-cgroup`` is given or a container's record says that it was.
"""
