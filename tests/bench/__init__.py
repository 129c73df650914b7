"""Speed and size of the function compared with other implementations: `make bench`."""
