"""What ``import utsuwa`` gives to Python programs: the engine's services as objects."""
