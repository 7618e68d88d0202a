"""The library for programs with an event loop: ``utsuwa`` with ``await``. Short calls go to threads, waits do not."""

from __future__ import annotations

from utsuwa.aio.container import Container as Container
from utsuwa.aio.engine import Engine as Engine
from utsuwa.aio.process import Process as Process

_ENGINE = Engine()
run = _ENGINE.run
start = _ENGINE.start
containers = _ENGINE.containers
images = _ENGINE.images
networks = _ENGINE.networks
volumes = _ENGINE.volumes
