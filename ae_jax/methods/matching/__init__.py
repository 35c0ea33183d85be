"""Networks whose outputs match a distribution, or the neighbours, of the data; no adversary."""
