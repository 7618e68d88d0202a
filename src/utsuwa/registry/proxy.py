"""Which proxy a URL goes through: HTTPS_PROXY, HTTP_PROXY and NO_PROXY, as curl and Go read them."""

from __future__ import annotations

import os

from yarl import URL


def proxy_for(url: URL) -> URL | None:
    """The proxy for ``url``, None for a direct connection."""
    text = _setting(f"{url.scheme}_proxy")
    if not text or _excluded(url.host or "", _setting("no_proxy")):
        return None
    return URL(text if "://" in text else f"http://{text}")


def _setting(name: str) -> str:
    return (os.environ.get(name) or os.environ.get(name.upper()) or "").strip()


def _excluded(host: str, patterns: str) -> bool:
    """``example.com`` and ``.example.com`` both mean the domain and all beneath it; ``*`` means everything."""
    for pattern in patterns.replace(" ", ",").split(","):
        name = pattern.partition(":")[0].strip().lower().lstrip(".")
        if pattern.strip() == "*" or (name and (host == name or host.endswith(f".{name}"))):
            return True
    return False
