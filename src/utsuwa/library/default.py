"""The engine that ``utsuwa.run`` and its like speak of: that of UTSUWA_ROOT and UTSUWA_RUN, or the system's."""

from __future__ import annotations

from utsuwa.library.engine import Engine

_ENGINE = Engine()
run = _ENGINE.run
start = _ENGINE.start
containers = _ENGINE.containers
images = _ENGINE.images
networks = _ENGINE.networks
volumes = _ENGINE.volumes
events = _ENGINE.events
