"""`utsuwa build`: a Dockerfile and a context become an image, without a daemon.

text ─reader→ statements ─instructions→ stages ─graph→ those that are needed, in order ─stage→ layers and a
configuration
"""
