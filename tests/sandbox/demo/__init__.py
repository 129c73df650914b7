"""`make demo`: the whole life of a pool on a local AWS."""
