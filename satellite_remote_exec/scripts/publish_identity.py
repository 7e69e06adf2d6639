"""Publish which OpenStack instance this machine is, as custom facts of subscription-manager.

Satellite cannot tell an instance on bare metal (Ironic) from any other server, and knows a virtual
one by its firmware alone.  This runs as root on the machine itself, on any Python from 3.6 on and
without a package.

Others act on what it publishes, up to removing the machine's record, so it would rather publish
nothing.  What a source says counts only where it is bound to this very machine: a nested guest
hears the metadata of the instance around it, and a disk image brings along the config drive and the
facts of the machine that it was taken from.
"""

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
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, Optional

DONE, NONSENSE, BROKEN, FORBIDDEN = 0, 69, 70, 77  # exit codes
TIMEOUT = 3.0  # seconds that the metadata service has for one answer
MOUNT_TIMEOUT = 20.0
UPLOAD_TIMEOUT = 180.0
UNREACHABLE = "unreachable"
LIMIT = 1 << 20  # bytes of any file or answer; true ones have a few thousand
FACTS = Path("etc/rhsm/facts/osp.facts")
FIELDS = {
    "osp.project": "project_id",
    "osp.region": "region",
    "osp.availability_zone": "availability_zone",
}
UUID = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
# What boards without an identity of their own report; many machines share each of these.
NO_IDENTITY = {
    "00000000-0000-0000-0000-000000000000",
    "ffffffff-ffff-ffff-ffff-ffffffffffff",
    "03000200-0400-0500-0006-000700080009",
    "00020003-0004-0005-0006-000700080009",
    "12345678-1234-5678-90ab-cddeefaabbcc",
    "fefefefe-fefe-fefe-fefe-fefefefefefe",
}
VIRTUAL = (
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
# Where the machine's own UUID stands: SMBIOS, then what ppc64le has (KVM, PowerVM), then Xen.
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
# Asset tags of clouds that run Nova; cloud-init goes by the same.
CLOUD_TAGS = (
    "openstack",
    "huaweicloud",
    "opentelekomcloud",
    "sap ccloud vm",
    "samsung cloud platform",
)


class Failed(Exception):
    """Why nothing could be published, in one line; `code` is the exit code."""

    def __init__(self, code: int, why: str) -> None:
        super().__init__(why)
        self.code = code


class Claim(NamedTuple):
    """What one source says: the instance's UUID, the facts of FIELDS that it knows, and the MACs of
    its network.
    """

    source: str
    uuid: str
    facts: "dict[str, str]"
    macs: "frozenset[str]"


def main(root: Path = Path("/"), service: str = "http://169.254.169.254") -> int:
    """Publish what this machine is, say so, and take back what was published on another one.

    root: where the machine's files are found.  service: the address of the metadata service.
    Returns the exit code: 0 done or nothing to do; 69 the metadata service made no sense and
    nothing else answered; 77 not permitted; 70 anything else.
    """
    try:
        return publish(root, service)
    except PermissionError as error:
        say(f"this has to run as root: {error}")
        return FORBIDDEN
    except OSError as error:
        say(f"nothing published: {error}")
        return BROKEN
    except Failed as failed:
        say(str(failed))
        return failed.code


def publish(root: Path, service: str) -> int:
    """Write the facts, or take back what is not this machine's, and upload; the exit code.

    Raises OSError, and Failed where the upload did.
    """
    file, hardware = root / FACTS, system_uuid(root)
    removed = remove_foreign(file, hardware)
    facts, failed = tried(lambda: identity(root, service, hardware))
    if failed:
        say(str(failed))
    elif facts is None:
        say("no OpenStack instance: no metadata service, config drive or cloud-init names one")
    else:
        changed = write(file, json.dumps(facts, indent=2, sort_keys=True) + "\n")
        say(
            f"{'published' if changed else 'already published:'} instance {facts['osp.uuid']} in {file}"
        )
    code = upload(root) if facts or removed else DONE
    return failed.code if failed else code


def identity(root: Path, service: str, hardware: Optional[str]) -> "Optional[dict[str, str]]":
    """The facts to publish; None where no source names an instance.

    Raises Failed where one does but it cannot be shown to be this machine.
    """
    metal = not is_virtual(root)
    claims = list(claimed(root, service)) if metal else own_or_all(claimed(root, service), hardware)
    if not claims:
        return None
    if hardware is None:
        raise Failed(
            BROKEN,
            "nothing published: this machine has no usable UUID of its own to bind the facts to "
            "(looked for in SMBIOS, /proc/device-tree, /proc/sysinfo and /sys/hypervisor)",
        )
    if metal or (has_cloud_tag(root) and not same(claims[0].uuid, hardware)):
        check_network(claims, own_macs(root))
    elif not same(claims[0].uuid, hardware):
        raise Failed(
            BROKEN,
            f"nothing published: {claims[0].source} names instance {claims[0].uuid}, but the UUID "
            f"of this virtual machine is {hardware} (a guest inside an instance?)",
        )
    facts = {"osp.uuid": claims[0].uuid, "osp.system_uuid": hardware}
    for claim in reversed(claims):
        facts.update(claim.facts)
    return facts


def own_or_all(claims: "Iterable[Claim]", hardware: Optional[str]) -> "list[Claim]":
    """The first claim that names the machine's own UUID, alone; all of them where none does."""
    others = []
    for claim in claims:
        if hardware and same(claim.uuid, hardware):
            return [claim]
        others.append(claim)
    return others


def check_network(claims: "list[Claim]", macs: "frozenset[str]") -> None:
    """Raise Failed unless all sources agree and one names a network interface of this machine.

    Neither Ironic nor Nova on VMware gives an instance's UUID to the firmware.  But the network
    that Nova describes to an instance is that of its own interfaces, and neither a copied config
    drive, a borrowed address nor a guest inside the instance has those.
    """
    for claim in claims[1:]:
        if claim.uuid != claims[0].uuid:
            raise Failed(
                BROKEN,
                f"nothing published: {claims[0].source} names instance {claims[0].uuid}, "
                f"but {claim.source} names {claim.uuid}",
            )
    if not any(claim.macs & macs for claim in claims):
        raise Failed(
            BROKEN,
            f"nothing published: {claims[0].source} names instance {claims[0].uuid}, "
            "but no network interface of this machine belongs to it",
        )


# What the machine is


def system_uuid(root: Path) -> Optional[str]:
    """The UUID that firmware or hypervisor gives the machine, lower case and dashed; None where
    there is no usable one.

    Raises OSError.
    """
    texts = [read_text(root / name) for name in UUID_FILES]
    level = re.search(
        r"^VM00 UUID:\s*(\S+)", read_text(root / "proc/sysinfo"), re.MULTILINE
    )  # this very guest
    texts.append(level.group(1) if level else "")
    return next((uuid for uuid in map(parse_uuid, texts) if uuid), None)


def is_virtual(root: Path) -> bool:
    """Whether anything says so; a machine that cannot be examined is taken for a virtual one, which
    proves more.
    """
    cpu = read(root / "proc/cpuinfo")
    if cpu is None or re.search(rb"^flags\s*:.*\bhypervisor\b", cpu, re.MULTILINE):
        return True
    if read(root / "sys/hypervisor/type") or any((root / name).exists() for name in VIRTUAL_FILES):
        return True
    if "dummy-virt" in read_text(root / "proc/device-tree/compatible"):
        return True
    if re.search("^VM00 ", read_text(root / "proc/sysinfo"), re.MULTILINE):
        return True
    return any(name in makers(root) for name in VIRTUAL)


def makers(root: Path) -> str:
    """Maker and product by SMBIOS, in lower case."""
    return " ".join(read_text(root / DMI / name) for name in ("sys_vendor", "product_name")).lower()


def has_cloud_tag(root: Path) -> bool:
    """Whether the asset tag of the chassis alone says OpenStack, as on VMware: there the UUID is
    the hypervisor's.
    """
    tag = read_text(root / DMI / "chassis_asset_tag").lower()
    return "openstack" not in makers(root) and any(name in tag for name in CLOUD_TAGS)


def own_macs(root: Path) -> "frozenset[str]":
    """The addresses of the network interfaces; in a bond also those that they have by nature."""
    net = root / "sys/class/net"
    files = [*net.glob("*/address"), *net.glob("*/bonding_slave/perm_hwaddr")]
    found = {(read(file) or b"").decode("ascii", "replace").strip().lower() for file in files}
    return frozenset(found - {"", "00:00:00:00:00:00"})


# What the sources say


def claimed(root: Path, service: str) -> "Iterator[Claim]":
    """Yield the Claim of each source that has one.

    Raises Failed at the end where there was none and a source made no sense: that one's reason.
    """
    found, failed = False, None
    for source in (
        lambda: from_service(service),
        lambda: from_config_drive(root),
        lambda: from_cloud_init(root),
    ):
        claim, error = tried(source)
        failed = failed or error
        if claim:
            found = True
            yield claim
    if failed and not found:
        raise failed


def from_service(service: str) -> Optional[Claim]:
    """What the metadata service says; None where there is none.  Raises Failed."""
    source = "the metadata service"
    text = get(service + "/openstack/latest/meta_data.json")
    if text is None:
        return None
    found = parse(text, NONSENSE, source)
    return claim_of(source, found, get_network(service), NONSENSE)


def get_network(service: str) -> Any:
    """The network that the metadata service describes; None where it does not."""
    return tried(
        lambda: parse(get(service + "/openstack/latest/network_data.json") or b"", NONSENSE, "")
    )[0]


def from_config_drive(root: Path) -> Optional[Claim]:
    """What a config drive says; None where there is none.  Raises Failed and OSError."""
    devices = [root / "dev/disk/by-label" / label for label in ("config-2", "CONFIG-2")]
    device = next((device for device in devices if device.exists()), None)
    if device is None:
        return None
    folder = tempfile.mkdtemp(prefix="osp-identity-")
    try:
        # Nobody but Nova writes these types; a volume that somebody else labelled so is not even
        # looked at.
        how = ["-o", "ro,nosuid,nodev,noexec", "-t", "iso9660,vfat"]
        if run(["mount", *how, str(device), folder], MOUNT_TIMEOUT) != 0:
            raise Failed(BROKEN, "nothing published: the config drive cannot be mounted")
        latest = Path(folder) / "openstack/latest"
        text, network = read(latest / "meta_data.json"), read(latest / "network_data.json")
    finally:
        tried(
            lambda: run(["umount", folder], MOUNT_TIMEOUT)
        )  # rmdir tells where it still is mounted
        os.rmdir(folder)  # noqa: PTH106   never a tree: it may still be mounted
    if text is None:
        return None
    described, _ = tried(lambda: parse(network or b"", BROKEN, ""))
    return claim_of("the config drive", parse(text, BROKEN, "the config drive"), described, BROKEN)


def from_cloud_init(root: Path) -> Optional[Claim]:
    """What cloud-init noted at this boot; None where it noted nothing of OpenStack.  Raises Failed
    and OSError.
    """
    text = read(root / "run/cloud-init/instance-data.json")
    if text is None:
        return None
    noted = parse(text, BROKEN, "cloud-init")
    v1, ds = entry(noted, "v1"), entry(noted, "ds")
    if "openstack" not in (entry(v1, "platform"), entry(v1, "cloud_name"), entry(v1, "cloud-name")):
        return None
    found = entry(ds, "meta_data", "meta-data")
    known = {
        "uuid": entry(found, "uuid", "instance-id", "instance_id"),
        "project_id": entry(found, "project_id"),
        "region": entry(v1, "region"),
        "availability_zone": entry(found, "availability_zone") or entry(v1, "availability_zone"),
    }
    return claim_of("cloud-init", known, entry(ds, "network_json"), BROKEN)


def claim_of(source: str, found: "dict[str, Any]", network: Any, code: int) -> Claim:
    """The Claim in what a source says; everything else there, secrets among it, ends here.

    Raises Failed with `code` where it names no instance.
    """
    uuid = parse_uuid(found.get("uuid"))
    if uuid is None:
        raise Failed(code, f"nothing published: {source} names no instance")
    facts = {
        name: found[key]
        for name, key in FIELDS.items()
        if isinstance(found.get(key), str) and re.fullmatch("[ -~]{1,255}", found[key])
    }
    links = entry(network, "links")
    macs = (
        [entry(link, "ethernet_mac_address") for link in links] if isinstance(links, list) else []
    )
    return Claim(
        source, uuid, facts, frozenset(mac.lower() for mac in macs if isinstance(mac, str))
    )


def get(url: str) -> Optional[bytes]:
    """The answer to a GET; None where nobody or nothing is there.

    Raises Failed where somebody answers, but twice makes no sense.
    """
    text, trouble = ask(url)
    if trouble:
        text, trouble = ask(url)
    if trouble and trouble != UNREACHABLE:
        raise Failed(
            NONSENSE, f"nothing published: the metadata service does not answer as one ({trouble})"
        )
    return text


def ask(url: str) -> "tuple[Optional[bytes], str]":
    """The answer to one GET, None where it is a 404; and what was wrong, if anything.  Raises
    Failed.
    """
    opener = (
        urllib.request.OpenerDirector()
    )  # neither proxies nor redirects: it is this very address or none
    for handler in (
        urllib.request.HTTPHandler,
        urllib.request.HTTPDefaultErrorHandler,
        urllib.request.HTTPErrorProcessor,
    ):
        opener.add_handler(handler())
    try:
        with opener.open(url, timeout=TIMEOUT) as answer:
            return body(answer), ""
    except urllib.error.HTTPError as error:
        error.close()
        return None, "" if error.code == 404 else f"status {error.code}"
    except urllib.error.URLError:
        return None, UNREACHABLE
    except (OSError, http.client.HTTPException) as error:
        return None, type(error).__name__


def body(answer: Any) -> bytes:
    """All of an answer; raises OSError where it comes too slowly and Failed where it does not end."""
    end, length, read_so_far = time.monotonic() + TIMEOUT, answer.length, b""
    while length is None or len(read_so_far) < length:
        part = answer.read1(1 << 16)  # read() would wait for all of a trickle
        if not part:
            break
        read_so_far += part
        if len(read_so_far) > LIMIT:
            raise Failed(
                NONSENSE, "nothing published: the answer of the metadata service is too long"
            )
        if time.monotonic() > end:
            raise TimeoutError
    return read_so_far


# What is published


def remove_foreign(file: Path, hardware: Optional[str]) -> bool:
    """Remove facts that were not published on this hardware; whether there were any.  Raises
    OSError.
    """
    text = read(file)
    if text is None or hardware is None:
        return False
    found, _ = tried(lambda: parse(text, BROKEN, ""))
    bound = parse_uuid(entry(found, "osp.system_uuid"))
    if bound and same(bound, hardware):
        return False
    file.unlink()
    say(f"removed {file}: it was not published on this hardware")
    return True


def write(file: Path, text: str) -> bool:
    """Write the file at once or not at all; False where it says so already.  Raises OSError."""
    if read(file) == text.encode("ascii"):
        return False
    file.parent.mkdir(parents=True, exist_ok=True)
    number, name = tempfile.mkstemp(
        prefix=".osp-", suffix=".tmp", dir=str(file.parent)
    )  # *.facts would be read
    try:
        with os.fdopen(number, "w", encoding="ascii") as new:
            new.write(text)
            new.flush()
            os.fchmod(new.fileno(), 0o644)
            os.fsync(new.fileno())
        Path(name).replace(file)
    except BaseException:
        Path(name).unlink()
        raise
    return True


def upload(root: Path) -> int:
    """Hand the facts to Satellite; the exit code.  Raises Failed.

    Asked for in every run: an earlier one may have failed, and a registration starts from nothing.
    """
    name = "subscription-manager"
    program = shutil.which(name) or shutil.which(name, path=str(root / "usr/sbin"))
    if program is None:
        say("not uploaded: no subscription-manager here")
        return DONE
    with tempfile.TemporaryFile() as output:
        code = run([program, "facts", "--update"], UPLOAD_TIMEOUT, output)
        output.seek(0)
        answer = output.read(LIMIT)
    if code == 0:
        say("uploaded to Satellite")
        return DONE
    if b"not yet registered" in answer or b"not registered" in answer:
        say("not uploaded: not registered; the registration will do it")
        return DONE
    raise Failed(
        BROKEN,
        f"not uploaded: subscription-manager facts --update gave {code}; "
        "see /var/log/rhsm/rhsm.log",
    )


# Tools


def say(line: str) -> None:
    """Print one line of ASCII, whatever is in it."""
    print(ascii(line)[1:-1].replace("\\'", "'"), flush=True)


def tried(call: "Callable[[], Any]") -> "tuple[Any, Optional[Failed]]":
    """What a call returns, or why it failed.  Raises whatever is no Failed."""
    try:
        return call(), None
    except Failed as error:
        return None, error


def read(path: Path) -> Optional[bytes]:
    """The start of a file, one byte more than LIMIT at most; None where there is none.  Raises
    OSError.

    Neither a link nor a pipe in its place can lead elsewhere or wait.
    """
    try:
        number = os.open(str(path), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except (FileNotFoundError, NotADirectoryError):
        return None
    with os.fdopen(number, "rb") as file:
        return file.read(LIMIT + 1)


def read_text(path: Path) -> str:
    """The start of a file without the blanks and NULs at its ends; "" where there is none.  Raises
    OSError.
    """
    return (read(path) or b"").decode("ascii", "replace").strip(" \t\r\n\0")


def run(arguments: "list[str]", timeout: float, output: Any = subprocess.DEVNULL) -> int:
    """The exit code of a program that speaks English; raises Failed where it cannot run or does not
    end.
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
            BROKEN, f"{arguments[0]} did not run to its end: {type(error).__name__}"
        ) from error


def parse(text: bytes, code: int, source: str) -> "dict[str, Any]":
    """The JSON object in `text`; raises Failed with `code` where it is none."""
    try:
        found = json.loads(text.decode("utf-8")) if len(text) <= LIMIT else None
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise Failed(code, f"nothing published: what {source} says makes no sense")
    return found


def entry(found: Any, *names: str) -> Any:
    """The value of the first name that a JSON object has; None where it has none, or is no object."""
    return (
        next((found[name] for name in names if name in found), None)
        if isinstance(found, dict)
        else None
    )


def parse_uuid(text: Any) -> Optional[str]:
    """The UUID in lower case and dashed form; None where it is none or is nobody's own."""
    form = text.strip().lower() if isinstance(text, str) else ""
    return form if UUID.fullmatch(form) and form not in NO_IDENTITY else None


def same(one: str, other: str) -> bool:
    """Whether two UUIDs are the same in either byte order: SMBIOS before and after 2.6 disagrees on
    it.
    """
    return other in (one, str(uuidlib.UUID(bytes_le=uuidlib.UUID(one).bytes)))
