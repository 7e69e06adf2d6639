"""A Satellite and an OSP of our own on loopback: the demo, and what the tests stand on."""
