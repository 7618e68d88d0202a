"""Attacks: known ones of other runtimes first (each test says how it is proven able to fail), then our own surfaces."""
