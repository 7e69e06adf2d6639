"""Publish which OpenStack instance this machine is, as custom facts of subscription-manager.

Satellite cannot tell an instance on bare metal (Ironic) from any other server, and knows a virtual
instance by its firmware only.  This script runs as root on the machine itself, with Python 3.6 or
newer and the standard library.

What it publishes can lead to the deletion of the machine's host record, so in doubt it publishes
nothing.  What a source says counts only if it is bound to this very machine: a nested guest can
read the metadata of the instance around it, and a disk image brings the config drive and the facts
of the machine that it was taken from.
"""

import contextlib
import http.client
import json
import os
import re
import shutil
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
import uuid as uuidlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, Optional

# Exit codes
DONE = 0
INVALID_RESPONSE = 69
FAILURE = 70
FORBIDDEN = 77

TIMEOUT = 3.0  # seconds for one response of the metadata service
MOUNT_TIMEOUT = 20.0
UPLOAD_TIMEOUT = 180.0
UNREACHABLE = "unreachable"
LIMIT = 1 << 20  # bytes of any file or response; real ones have a few thousand
FACTS = Path("etc/rhsm/facts/osp.facts")
FIELDS = {
    "osp.project": "project_id",
    "osp.region": "region",
    "osp.availability_zone": "availability_zone",
}
UUID = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
# What boards without a UUID report instead; many machines share each of these.
NO_IDENTITY = {
    "00000000-0000-0000-0000-000000000000",
    "ffffffff-ffff-ffff-ffff-ffffffffffff",
    "03000200-0400-0500-0006-000700080009",
    "00020003-0004-0005-0006-000700080009",
    "12345678-1234-5678-90ab-cddeefaabbcc",
    "fefefefe-fefe-fefe-fefe-fefefefefefe",
}
# Parts of makers and products of virtual machines, in lower case.
VIRTUAL_MAKERS = (
    "openstack",
    "kvm",
    "qemu",
    "bochs",
    "vmware",
    "virtualbox",
    "innotek",
    "xen",
    "hvm domu",
    "rhev",
    "ovirt",
    "virtual machine",
    "parallels",
    "bhyve",
    "ahv",
    "amazon ec2",
    "google compute",
    "alibaba cloud",
)

DMI = "sys/class/dmi/id"
# Where to find the UUID of the machine: SMBIOS, then ppc64le (KVM, PowerVM), then Xen.
UUID_FILES = (
    DMI + "/product_uuid",
    "proc/device-tree/vm,uuid",
    "proc/device-tree/ibm,partition-uuid",
    "sys/hypervisor/uuid",
)
VIRTUAL_FILES = (
    "proc/device-tree/hypervisor",
    "proc/device-tree/vm,uuid",
    "proc/device-tree/ibm,partition-uuid",
)
# Asset tags of clouds that run Nova; cloud-init uses the same list.
CLOUD_TAGS = (
    "openstack",
    "huaweicloud",
    "opentelekomcloud",
    "sap ccloud vm",
    "samsung cloud platform",
)


class Failed(Exception):
    """Why nothing was published or uploaded, in one line; `code` is the exit code."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code


class Claim(NamedTuple):
    """What one source says about this machine.

    `uuid`: of the instance.  `facts`: those of FIELDS that it knows.  `macs`: the addresses of the
    instance's network interfaces, in lower case.
    """

    source: str
    uuid: str
    facts: "dict[str, str]"
    macs: "frozenset[str]"


def main(root: Path = Path("/"), service: str = "http://169.254.169.254") -> int:
    """Publish which instance this machine is, and remove what was published on another machine.

    `root`: the folder with the machine's files.  `service`: the URL of the metadata service.
    Returns the exit code: 0 done or nothing to do; 69 the metadata service returned an invalid
    response and no other source knows the instance; 77 not permitted; 70 anything else.
    """
    try:
        return publish(root, service)
    except PermissionError as error:
        say(f"this script has to run as root: {error}")
        return FORBIDDEN
    except OSError as error:
        say(f"nothing published: {error}")
        return FAILURE
    except Failed as failure:
        say(str(failure))
        return failure.code


def publish(root: Path, service: str) -> int:
    """Write the facts, or remove those of another machine, then upload; returns the exit code.

    Raises OSError, and Failed if the upload fails.
    """
    file = root / FACTS
    hardware = system_uuid(root)
    removed = remove_foreign(file, hardware)
    facts = None
    code = DONE
    try:
        facts = identity(root, service, hardware)
    except Failed as failure:
        say(str(failure))
        code = failure.code
    else:
        write_facts(file, facts)
    uploaded = upload(root) if facts or removed else DONE
    return code or uploaded


def write_facts(file: Path, facts: "Optional[dict[str, str]]") -> None:
    """Write the facts, if there are any, and say what was done.  Raises OSError."""
    if facts is None:
        say(
            "not an OpenStack instance: "
            "neither a metadata service nor a config drive nor cloud-init names one"
        )
        return
    text = json.dumps(facts, indent=2, sort_keys=True) + "\n"
    done = "published" if write(file, text) else "already published:"
    say(f"{done} instance {facts['osp.uuid']} in {file}")


def identity(
    root: Path, service: str, hardware: Optional[str]
) -> "Optional[dict[str, str]]":
    """The facts to publish; None if no source names an instance.

    `hardware`: the UUID of the machine, see `system_uuid`.
    Raises Failed if a source names an instance that cannot be shown to be this machine.
    """
    virtual = is_virtual(root)
    if virtual:
        claims = own_or_all(read_claims(root, service), hardware)
    else:
        claims = list(read_claims(root, service))
    if not claims:
        return None
    if hardware is None:
        raise Failed(
            FAILURE,
            "nothing published: this machine has no usable UUID to bind the facts to "
            "(looked for one in SMBIOS, /proc/device-tree, /proc/sysinfo and /sys/hypervisor)",
        )
    if virtual:
        check_virtual(root, claims, hardware)
    else:
        check_network(claims, own_macs(root))
    facts = {"osp.uuid": claims[0].uuid, "osp.system_uuid": hardware}
    for claim in reversed(claims):  # the first source that knows a fact counts
        facts.update(claim.facts)
    return facts


def own_or_all(claims: "Iterable[Claim]", hardware: Optional[str]) -> "list[Claim]":
    """Only the first claim that names the machine's own UUID; all claims if none does."""
    others = []
    for claim in claims:
        if hardware and same_uuid(claim.uuid, hardware):
            return [claim]
        others.append(claim)
    return others


def check_virtual(root: Path, claims: "list[Claim]", hardware: str) -> None:
    """Raise Failed unless the firmware of this virtual machine has the UUID of the instance.

    If only the asset tag says OpenStack, as on VMware, the network interfaces count instead.
    """
    first = claims[0]
    if same_uuid(first.uuid, hardware):
        return
    if has_cloud_tag(root):
        check_network(claims, own_macs(root))
        return
    raise Failed(
        FAILURE,
        f"nothing published: {first.source} names instance {first.uuid}, but the UUID "
        f"of this virtual machine is {hardware} (a guest inside an instance?)",
    )


def check_network(claims: "list[Claim]", macs: "frozenset[str]") -> None:
    """Raise Failed unless all sources agree and one knows a network interface of this machine.

    Neither Ironic nor Nova on VMware writes an instance's UUID to the firmware.  But Nova describes
    an instance's own network interfaces to it, and neither a machine with a copied config drive or
    a borrowed address nor a guest inside the instance has those interfaces.
    """
    first = claims[0]
    for claim in claims[1:]:
        if claim.uuid != first.uuid:
            raise Failed(
                FAILURE,
                f"nothing published: {first.source} names instance {first.uuid}, "
                f"but {claim.source} names {claim.uuid}",
            )
    if not any(claim.macs & macs for claim in claims):
        raise Failed(
            FAILURE,
            f"nothing published: {first.source} names instance {first.uuid}, "
            "but no network interface of this machine belongs to it",
        )


# What the machine is


def system_uuid(root: Path) -> Optional[str]:
    """The UUID that firmware or hypervisor gives the machine; None if there is no usable one.

    In lower case, with dashes.  Raises OSError.
    """
    texts = [read_text(root / name) for name in UUID_FILES]
    sysinfo = read_text(root / "proc/sysinfo")
    # s390x: VM00 is this very guest; VM01 and so on are the levels around it
    guest = re.search(r"^VM00 UUID:\s*(\S+)", sysinfo, re.MULTILINE)
    if guest:
        texts.append(guest.group(1))
    for text in texts:
        uuid = parse_uuid(text)
        if uuid:
            return uuid
    return None


def is_virtual(root: Path) -> bool:
    """Whether anything says that this is a virtual machine.

    A machine that cannot be examined counts as virtual, since more proof is needed then.
    """
    cpu = read(root / "proc/cpuinfo")
    if cpu is None or re.search(rb"^flags\s*:.*\bhypervisor\b", cpu, re.MULTILINE):
        return True
    if read(root / "sys/hypervisor/type"):
        return True
    if any((root / name).exists() for name in VIRTUAL_FILES):
        return True
    if "dummy-virt" in read_text(root / "proc/device-tree/compatible"):
        return True
    if re.search("^VM00 ", read_text(root / "proc/sysinfo"), re.MULTILINE):
        return True
    return any(maker in makers(root) for maker in VIRTUAL_MAKERS)


def makers(root: Path) -> str:
    """Maker and product according to SMBIOS, in lower case."""
    vendor = read_text(root / DMI / "sys_vendor")
    product = read_text(root / DMI / "product_name")
    return f"{vendor} {product}".lower()


def has_cloud_tag(root: Path) -> bool:
    """Whether only the asset tag of the chassis says OpenStack.

    This is so on VMware, where the firmware has a UUID of the hypervisor.
    """
    tag = read_text(root / DMI / "chassis_asset_tag").lower()
    if "openstack" in makers(root):
        return False
    return any(name in tag for name in CLOUD_TAGS)


def own_macs(root: Path) -> "frozenset[str]":
    """The addresses of the network interfaces; for those in a bond, also their permanent ones."""
    net = root / "sys/class/net"
    macs = set()
    for file in [*net.glob("*/address"), *net.glob("*/bonding_slave/perm_hwaddr")]:
        address = (read(file) or b"").decode("ascii", "replace")
        macs.add(address.strip().lower())
    return frozenset(macs - {"", "00:00:00:00:00:00"})


# What the sources say


def read_claims(root: Path, service: str) -> "Iterator[Claim]":
    """Yield the claim of each source that has one; a later source is read only when asked for.

    Raises Failed at the end if there is no claim and a source could not be read: why the first of
    them could not.
    """
    has_claim = False
    first_failure = None
    for source in (
        lambda: from_service(service),
        lambda: from_config_drive(root),
        lambda: from_cloud_init(root),
    ):
        try:
            claim = source()
        except Failed as failure:
            first_failure = first_failure or failure
            continue
        if claim:
            has_claim = True
            yield claim
    if first_failure and not has_claim:
        raise first_failure


def from_service(service: str) -> Optional[Claim]:
    """What the metadata service says; None if there is no metadata service.  Raises Failed."""
    source = "the metadata service"
    text = get(service + "/openstack/latest/meta_data.json")
    if text is None:
        return None
    metadata = parse(text, INVALID_RESPONSE, source)
    return claim_of(source, metadata, get_network(service), INVALID_RESPONSE)


def get_network(service: str) -> Any:
    """The network that the metadata service describes; None if it describes none."""
    try:
        text = get(service + "/openstack/latest/network_data.json")
    except Failed:
        return None
    return parse_or_none(text)


def from_config_drive(root: Path) -> Optional[Claim]:
    """What a config drive says; None if there is no config drive.  Raises Failed and OSError."""
    source = "the config drive"
    device = config_drive(root)
    if device is None:
        return None
    folder = tempfile.mkdtemp(prefix="osp-identity-")
    try:
        # Nova writes these types only; a volume of another type with this label is not mounted
        options = ["-o", "ro,nosuid,nodev,noexec", "-t", "iso9660,vfat"]
        if run(["mount", *options, str(device), folder], MOUNT_TIMEOUT) != 0:
            raise Failed(
                FAILURE, "nothing published: the config drive cannot be mounted"
            )
        latest = Path(folder) / "openstack/latest"
        text = read(latest / "meta_data.json")
        network = read(latest / "network_data.json")
    finally:
        with contextlib.suppress(Failed):  # rmdir fails if it is still mounted
            run(["umount", folder], MOUNT_TIMEOUT)
        os.rmdir(folder)  # noqa: PTH106   never a tree: it may still be mounted
    if text is None:
        return None
    metadata = parse(text, FAILURE, source)
    return claim_of(source, metadata, parse_or_none(network), FAILURE)


def config_drive(root: Path) -> Optional[Path]:
    """The device of the config drive; None if there is no config drive."""
    for label in ("config-2", "CONFIG-2"):
        device = root / "dev/disk/by-label" / label
        if device.exists():
            return device
    return None


def from_cloud_init(root: Path) -> Optional[Claim]:
    """What cloud-init learned at this boot; None if it learned nothing about OpenStack.

    Raises Failed and OSError.
    """
    text = read(root / "run/cloud-init/instance-data.json")
    if text is None:
        return None
    instance_data = parse(text, FAILURE, "cloud-init")
    v1 = entry(instance_data, "v1")
    ds = entry(instance_data, "ds")
    clouds = [entry(v1, name) for name in ("platform", "cloud_name", "cloud-name")]
    if "openstack" not in clouds:
        return None
    nova = entry(ds, "meta_data", "meta-data")
    metadata = {
        "uuid": entry(nova, "uuid", "instance-id", "instance_id"),
        "project_id": entry(nova, "project_id"),
        "region": entry(v1, "region"),
        "availability_zone": entry(nova, "availability_zone")
        or entry(v1, "availability_zone"),
    }
    return claim_of("cloud-init", metadata, entry(ds, "network_json"), FAILURE)


def claim_of(source: str, metadata: "dict[str, Any]", network: Any, code: int) -> Claim:
    """The claim in what a source says; everything else, which may be secret, is dropped here.

    Raises Failed with `code` if the source names no instance.
    """
    uuid = parse_uuid(metadata.get("uuid"))
    if uuid is None:
        raise Failed(code, f"nothing published: {source} names no instance")
    facts = {}
    for name, key in FIELDS.items():
        value = metadata.get(key)
        if isinstance(value, str) and re.fullmatch("[ -~]{1,255}", value):
            facts[name] = value
    return Claim(source, uuid, facts, macs_of(network))


def macs_of(network: Any) -> "frozenset[str]":
    """The addresses of the interfaces in Nova's network_data.json, in lower case."""
    links = entry(network, "links")
    if not isinstance(links, list):
        return frozenset()
    macs = [entry(link, "ethernet_mac_address") for link in links]
    return frozenset(mac.lower() for mac in macs if isinstance(mac, str))


def get(url: str) -> Optional[bytes]:
    """The response to a GET; None if the address is unreachable or the response is a 404.

    Raises Failed if two requests in a row get an invalid response.
    """
    text, problem = request(url)
    if problem:
        text, problem = request(url)
    if problem and problem != UNREACHABLE:
        raise Failed(
            INVALID_RESPONSE,
            f"nothing published: the metadata service gave no valid response ({problem})",
        )
    return text


def request(url: str) -> "tuple[Optional[bytes], str]":
    """Send one GET; returns the response, None if it is a 404, and what went wrong, or "".

    Raises Failed if the response is too long.
    """
    # neither proxies nor redirects: only this very address may respond
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.HTTPHandler,
        urllib.request.HTTPDefaultErrorHandler,
        urllib.request.HTTPErrorProcessor,
    ):
        opener.add_handler(handler())
    try:
        with opener.open(url, timeout=TIMEOUT) as response:
            return body(response), ""
    except urllib.error.HTTPError as error:
        error.close()
        problem = "" if error.code == 404 else f"status {error.code}"
        return None, problem
    except urllib.error.URLError:
        return None, UNREACHABLE
    except (OSError, http.client.HTTPException) as error:
        return None, type(error).__name__


def body(response: Any) -> bytes:
    """The whole body of a response.

    Raises TimeoutError if it takes longer than TIMEOUT, and Failed if it is longer than LIMIT.
    """
    end = time.monotonic() + TIMEOUT
    length = response.length
    content = b""
    while length is None or len(content) < length:
        part = response.read1(1 << 16)  # read() would wait for all of a slow body
        if not part:
            break
        content += part
        if len(content) > LIMIT:
            raise Failed(
                INVALID_RESPONSE,
                "nothing published: the response of the metadata service is too long",
            )
        if time.monotonic() > end:
            raise TimeoutError
    return content


# What is published


def remove_foreign(file: Path, hardware: Optional[str]) -> bool:
    """Remove facts that were published on other hardware; returns whether there were any.

    Raises OSError.
    """
    text = read(file)
    if text is None or hardware is None:
        return False
    bound_to = parse_uuid(entry(parse_or_none(text), "osp.system_uuid"))
    if bound_to and same_uuid(bound_to, hardware):
        return False
    file.unlink()
    say(f"removed {file}: it was not published on this hardware")
    return True


def write(file: Path, text: str) -> bool:
    """Write the file as a whole or not at all; returns False if it already has this text.

    Raises OSError.
    """
    if read(file) == text.encode("ascii"):
        return False
    file.parent.mkdir(parents=True, exist_ok=True)
    # subscription-manager reads every *.facts there, hence another suffix
    number, name = tempfile.mkstemp(prefix=".osp-", suffix=".tmp", dir=str(file.parent))
    try:
        with os.fdopen(number, "w", encoding="ascii") as temporary:
            temporary.write(text)
            temporary.flush()
            os.fchmod(temporary.fileno(), 0o644)
            os.fsync(temporary.fileno())
        Path(name).replace(file)
    except BaseException:
        Path(name).unlink()
        raise
    return True


def upload(root: Path) -> int:
    """Send the facts to Satellite; returns the exit code.  Raises Failed.

    Every run does this: an earlier upload may have failed, and a registration discards all facts.
    """
    name = "subscription-manager"
    system_folder = str(root / "usr/sbin")  # not on the PATH of every job
    program = shutil.which(name) or shutil.which(name, path=system_folder)
    if program is None:
        say("not uploaded: subscription-manager is not installed")
        return DONE
    with tempfile.TemporaryFile() as output:
        code = run([program, "facts", "--update"], UPLOAD_TIMEOUT, output)
        output.seek(0)
        printed = output.read(LIMIT)
    if code == 0:
        say("uploaded to Satellite")
        return DONE
    if b"not yet registered" in printed or b"not registered" in printed:
        say(
            "not uploaded: this machine is not registered; its registration uploads the facts"
        )
        return DONE
    raise Failed(
        FAILURE,
        f"not uploaded: 'subscription-manager facts --update' exited with {code}; "
        "see /var/log/rhsm/rhsm.log",
    )


# Tools


def say(line: str) -> None:
    """Print one line of ASCII; other characters are escaped."""
    escaped = ascii(line)[1:-1]
    print(escaped.replace("\\'", "'"), flush=True)


def read(path: Path) -> Optional[bytes]:
    """The start of a file, at most one byte more than LIMIT; None if there is no file.

    Follows no link and waits for no pipe in the file's place.  Raises OSError.
    """
    try:
        number = os.open(str(path), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except (FileNotFoundError, NotADirectoryError):
        return None
    with os.fdopen(number, "rb") as file:
        return file.read(LIMIT + 1)


def read_text(path: Path) -> str:
    """The start of a file, without blanks and NULs at both ends; "" if there is no file.

    Raises OSError.
    """
    content = read(path) or b""
    return content.decode("ascii", "replace").strip(" \t\r\n\0")


def run(
    arguments: "list[str]", timeout: float, output: Any = subprocess.DEVNULL
) -> int:
    """Run a program with English messages; returns its exit code.

    `timeout`: in seconds.  Raises Failed if the program cannot run or does not end in time.
    """
    try:
        return subprocess.run(
            arguments,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=dict(os.environ, LC_ALL="C"),
            timeout=timeout,
            check=False,
        ).returncode
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Failed(
            FAILURE,
            f"{arguments[0]} could not run or did not end: {type(error).__name__}",
        ) from error


def parse(text: bytes, code: int, source: str) -> "dict[str, Any]":
    """The JSON object in a text; raises Failed with `code` if it is not a JSON object."""
    values = parse_or_none(text)
    if values is None:
        raise Failed(code, f"nothing published: {source} returned invalid data")
    return values


def parse_or_none(text: Optional[bytes]) -> "Optional[dict[str, Any]]":
    """The JSON object in a text; None if it is not a JSON object, or longer than LIMIT."""
    if text is None or len(text) > LIMIT:
        return None
    try:
        values = json.loads(text.decode("utf-8"))
    except (ValueError, RecursionError):
        return None
    return values if isinstance(values, dict) else None


def entry(values: Any, *names: str) -> Any:
    """The value of the first of these names that a JSON object has.

    None if it has none of them, or is not an object.
    """
    if not isinstance(values, dict):
        return None
    for name in names:
        if name in values:
            return values[name]
    return None


def parse_uuid(text: Any) -> Optional[str]:
    """The UUID in lower case with dashes; None if it is not a UUID, or many machines share it."""
    if not isinstance(text, str):
        return None
    form = text.strip().lower()
    if form in NO_IDENTITY or not UUID.fullmatch(form):
        return None
    return form


def same_uuid(uuid: str, other: str) -> bool:
    """Whether two UUIDs are the same in either byte order: SMBIOS 2.6 changed the order."""
    swapped = uuidlib.UUID(bytes_le=uuidlib.UUID(uuid).bytes)
    return other in (uuid, str(swapped))
