"""Doubles of Satellite and OpenStack on loopback: for the demo, and for the tests."""
