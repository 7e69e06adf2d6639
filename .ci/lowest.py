"""Print the lower bounds of setup.cfg as pip constraints: `click >=8.0.3` becomes `click==8.0.3`.

They are the versions of RHEL 9 and of OpenStack Platform 17, which runs on it.
"""

import configparser
import re
from pathlib import Path

# RHEL 9's.  jinja2 2 does not work with the newest one, but does not say so.
MARKUPSAFE = "markupsafe==1.1.1"

config = configparser.ConfigParser()
config.read(Path(__file__).parent.parent / "setup.cfg")
for section, option in (
    ("options", "install_requires"),
    ("options.extras_require", "test"),
):
    for line in config[section][option].split("\n"):
        requirement = re.fullmatch(r"([A-Za-z0-9_-]+) *>=([0-9.]+)", line.strip())
        if requirement:
            print(f"{requirement[1]}=={requirement[2]}")
print(MARKUPSAFE)
