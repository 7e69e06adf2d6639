"""Print the lower bounds of setup.cfg as pip constraints: `click >=8.0` becomes `click==8.0`."""

import configparser
import re
from pathlib import Path

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
