"""Refuse a Python that is too old; what is installed stands in setup.cfg.

An old pip ignores python_requires, or fails before it reads it.  RHEL 8's `python3` is 3.6 and has
pip 9.  So this file has to run on every Python, also on 2.7.
"""

import sys

if sys.version_info < (3, 9):
    sys.exit(
        "satellite-osp-cleanup needs Python 3.9 or newer; this is Python %d.%d. "
        "On RHEL 8: dnf install python3.11, then python3.11 -m venv FOLDER"
        % sys.version_info[:2]
    )

from setuptools import setup  # noqa: E402

setup()
