"""Networks, with real containers and packets."""
