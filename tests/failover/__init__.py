"""`make failover`: what clients notice when a director dies, splits off, hangs or comes back, in figures."""
