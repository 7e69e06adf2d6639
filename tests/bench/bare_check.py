"""Ask about one UUID with keystoneauth1 alone and check nothing, to compare start-up times.

OS_CLIENT_CONFIG_FILE=... python tests/bench/bare_check.py UUID
"""

import os
import sys
from pathlib import Path

import yaml
from keystoneauth1 import session
from keystoneauth1.identity import v3

cloud = yaml.safe_load(Path(os.environ["OS_CLIENT_CONFIG_FILE"]).read_text())["clouds"][
    "prod"
]
answer = session.Session(auth=v3.Password(**cloud["auth"])).get(
    f"/servers/{sys.argv[1]}",
    raise_exc=False,
    endpoint_filter={"service_type": "compute", "region_name": cloud["region_name"]},
)
print(answer.status_code)
