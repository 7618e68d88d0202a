"""Control groups: where a container's processes live, what they may use, and how they are counted, frozen and killed.

``filesystem.open_manager(host, cgroups_path, container_id)`` gives a ``manager.Manager``. There is one per version of
the kernel's interface: ``v1`` (also for hybrid hosts) and ``v2``; ``systemd`` has them made by systemd.
Nothing here moves a process: a container's first process joins its cgroups itself, as told by ``Manager.join()``.
"""
