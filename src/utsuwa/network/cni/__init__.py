"""Networks of plugins that others have written: they are run by ``plugins.py``, and what they were asked for is kept by
``membership.py``. How a user describes such a network: ``utsuwa/engine/cni.py``.
"""
