"""Networks of containers: bridges, addresses, rules, names."""
