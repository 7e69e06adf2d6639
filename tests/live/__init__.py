"""Tests against a real Keystone and nova-api that the test run itself starts on 127.0.0.1."""
