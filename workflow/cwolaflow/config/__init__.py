"""Reading and checking of the config, the studies and the sample tables."""
