"""The packages of the last commit, as an administrator installs them.

In an empty root with nothing but a shell and the Python that the package asks for, and without
network.  Building needs a package registry; mounting and chroot need root.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import pwd
import re
import shutil
import socket
import struct
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(os.geteuid() != 0, reason="mounts and chroot need root"),
]

ROOT = Path(__file__).parents[2]
NAME = "satellite-osp-cleanup"
PLATFORMS = {"el8": "3.11", "el9": "3.9"}
CLONE_NEWNET = 0x40000000
SIOCSIFFLAGS, IFF_UP = 0x8914, 0x1
ETC = Path("etc", NAME)
CONFIG = ETC / "config.yml"
CRON = Path("etc/cron.d", NAME)
UNITS = Path("usr/lib/systemd/system")
JOURNAL = Path("var/lib", NAME, "journal.sqlite3")


@pytest.fixture(scope="module")
def packages() -> Path:
    """The folder with the RPMs and tars, as `make packages` leaves it."""
    done = subprocess.run(
        ["make", "packages"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return ROOT / "build" / "packages"


@pytest.fixture(autouse=True)
def no_network(packages: Path) -> Iterator[None]:
    """A network of its own, with loopback only, for this thread and what it starts."""
    libc = ctypes.CDLL(None, use_errno=True)
    with Path("/proc/thread-self/ns/net").open("rb") as before:
        assert libc.unshare(CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
            fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP))
        yield
        assert libc.setns(before.fileno(), CLONE_NEWNET) == 0


def python_of(version: str) -> Path:
    """The Python of that version, without a shim before it."""
    finder = ROOT / "packaging" / "find-python"
    # Tests have a HOME without pyenv.
    home = {**os.environ, "HOME": pwd.getpwuid(os.getuid()).pw_dir}
    path = subprocess.check_output([finder, version], env=home, text=True).strip()
    script = "import sys; print(sys.base_prefix)"
    prefix = subprocess.check_output([path, "-c", script], text=True).strip()
    return Path(prefix, "bin", f"python{version}")


class Installed(NamedTuple):
    """A root with the package, and with programs that only note how they were called."""

    root: Path
    package: Path
    mounts: list[Path]

    def outside(self, *command: str | Path) -> subprocess.CompletedProcess[str]:
        """Run a command of this machine, with the mounts below the root in place."""
        script = "".join(
            f"mount --bind {source} {self.root}{source}\n" for source in self.mounts
        )
        return subprocess.run(
            ["unshare", "--mount", "sh", "-euc", f'{script}exec "$@"', "sh", *command],
            capture_output=True,
            text=True,
            check=False,
        )

    def rpm(self, *words: str | Path) -> str:
        """Run rpm for this root, which has to succeed without a complaint; its output."""
        database = ["--dbpath", "/var/lib/rpm"]  # Debian's default is the user's HOME
        done = self.outside("rpm", "--root", self.root, *database, *words)
        # Debian's rpm always advises against itself.
        expected = r"^(rpm: .*|warning: .* saved as .*\.rpmsave)\n"
        complaints = re.sub(expected, "", done.stderr, flags=re.MULTILINE)
        assert (done.returncode, complaints) == (0, "")
        return done.stdout

    def __call__(
        self, *words: str, code: int = 0, program: str = NAME, **variables: str
    ) -> str:
        """Run our program in the root, without any other variable; what it prints."""
        settings = [f"{name}={value}" for name, value in variables.items()]
        chroot = ["/usr/sbin/chroot", str(self.root), f"/usr/bin/{program}"]
        done = self.outside("env", "-i", *settings, *chroot, *words)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    def calls(self) -> list[str]:
        """How systemctl, semanage and restorecon were called since the last look."""
        log = self.root / "calls"
        lines = log.read_text().splitlines() if log.exists() else []
        log.write_text("")
        return lines


def empty_root(folder: Path, python: Path) -> list[Path]:
    """Make a root with a shell and mkdir; returns the paths to mount into it."""
    for name in ("usr/bin", "usr/sbin", "usr/lib", "usr/lib64", "root", "tmp", "etc"):
        (folder / name).mkdir(parents=True)
    for name in ("bin", "sbin", "lib", "lib64"):
        (folder / name).symlink_to(f"usr/{name}")
    (folder / "var/lib").mkdir(parents=True)
    (folder / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    (folder / "etc/group").write_text("root:x:0:\n")
    for name in ("sh", "mkdir"):
        shutil.copy(f"/bin/{name}", folder / "usr/bin" / name)
    for name in ("bin/systemctl", "sbin/semanage", "sbin/restorecon"):
        program = folder / "usr" / name
        program.write_text(f'#!/bin/sh\necho "{program.name} $*" >>/calls\n')
        program.chmod(0o755)
    (folder / "usr/bin" / python.name).symlink_to(python)
    libraries = sorted(Path("/usr/lib").glob("*-linux-gnu"))
    mounts = [*libraries, Path("/usr/lib64"), python.parents[1], Path("/dev")]
    for mount in mounts:
        Path(f"{folder}{mount}").mkdir(parents=True, exist_ok=True)
    bundle = folder / "etc/pki/tls/certs/ca-bundle.crt"
    bundle.parent.mkdir(parents=True)
    shutil.copy("/etc/ssl/certs/ca-certificates.crt", bundle)
    return mounts


@contextlib.contextmanager
def installation(packages: Path, dist: str, root: Path) -> Iterator[Installed]:
    """Install the package of a platform into a new root, which is removed in the end."""
    mounts = empty_root(root, python_of(PLATFORMS[dist]))
    [package] = packages.glob(f"{NAME}-*.{dist}.x86_64.rpm")
    machine = Installed(root, package, mounts)
    # --nodeps: the root has the files that the package requires, but not from a package.
    machine.rpm("--install", "--nodeps", package)
    yield machine
    shutil.rmtree(root)


@pytest.fixture(scope="module", params=PLATFORMS)
def installed(
    request: pytest.FixtureRequest,
    packages: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Installed]:
    """The same for all tests, so they leave the package as it is."""
    root = tmp_path_factory.mktemp("installed") / request.param
    with installation(packages, request.param, root) as machine:
        yield machine


def configure(stage: Any, installed: Installed, config: Path) -> None:
    """Set the doubles up as both sides."""
    shutil.copy(stage.config(journal=f"/{JOURNAL}"), installed.root / config)
    clouds = installed.root / "etc/openstack"
    clouds.mkdir(exist_ok=True)
    shutil.copy(stage.folder / "clouds.yaml", clouds)


# The RPM


def test_the_installed_program_checks_both_sides_plans_and_deletes(
    stage: Any, installed: Installed
) -> None:
    version = installed("--version")
    assert re.fullmatch(r"satellite-osp-cleanup, version [\d.]+\n", version)
    assert "UUID" in installed("--help", program="osp-check")
    stage.terminated("old")
    configure(stage, installed, Path("root/config.yml"))
    config = ["--config", "/root/config.yml"]
    findings = installed(*config, "doctor")
    assert stage.foreman.url in findings
    assert stage.osp.url in findings
    assert "old.example.com" in installed(*config, "plan")
    assert stage.left == {"old", "witness"}
    installed(*config, "run", "--apply")
    assert stage.left == {"witness"}
    assert_as_packaged(installed)


def assert_as_packaged(installed: Installed) -> None:
    """No file of the package differs, and its folder has no other file."""
    assert installed.rpm("--verify", "--nodeps", NAME) == ""
    listed = installed.rpm("--query", "--list", NAME).splitlines()
    below = (installed.root / "opt" / NAME).rglob("*")
    present = {f"/{path.relative_to(installed.root)}" for path in below}
    assert present <= set(listed)


def test_nothing_else_on_the_machine_changes_what_is_imported(
    installed: Installed,
) -> None:
    launcher = (installed.root / "usr/bin" / NAME).read_text()
    python, flags = launcher.splitlines()[0].removeprefix("#!/usr/bin/").split()
    user_site = f"root/.local/lib/{python}/site-packages"
    for folder in ("", "evil", user_site):
        for module in ("click", "sitecustomize", "usercustomize"):
            path = installed.root / folder / f"{module}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("raise SystemExit(99)\n")
    hostile = {"PYTHONPATH": "/evil", "PYTHONHOME": "/evil", "HOME": "/root"}
    assert NAME in installed("--version", **hostile)
    script = "import sys; print(sys.path)"
    path = installed(flags, "-c", script, program=python)
    assert "/lib-dynload" in path
    assert "site-packages" not in path


def test_the_package_requires_a_python_and_nothing_from_another_repository(
    installed: Installed,
) -> None:
    lines = installed.rpm("--query", "--requires", NAME).splitlines()
    required = {line for line in lines if not line.startswith("rpmlib(")}
    [python] = (installed.root / "usr/bin").glob("python3*")
    bundle = "/etc/pki/tls/certs/ca-bundle.crt"
    programs = {"/bin/sh", "/usr/bin/mkdir", f"/usr/bin/{python.name}"}
    assert required == {*programs, bundle}


def test_the_package_names_the_version_of_each_library_that_it_brings(
    installed: Installed,
) -> None:
    library = installed.root / "opt" / NAME / "lib"
    folders = {path.name.removesuffix(".dist-info") for path in library.glob("*-info")}
    provided = installed.rpm("--query", "--provides", NAME)
    bundled = re.findall(r"bundled\(python3dist\((.+)\)\) = (.+)", provided)
    names = {f"{name.replace('-', '_')}-{version}" for name, version in bundled}
    own = {folder for folder in folders if folder.startswith("satellite_osp_cleanup-")}
    assert names == folders - own
    assert len(names) > 20


def test_no_library_needs_a_newer_glibc_than_that_of_rhel_8(
    installed: Installed,
) -> None:
    libraries = [*(installed.root / "opt" / NAME).rglob("*.so*")]
    assert libraries
    for path in libraries:
        versions = re.findall(rb"GLIBC_2\.(\d+)", path.read_bytes())
        assert max(map(int, versions), default=0) <= 28, path


def test_certificates_are_those_that_the_machine_trusts(installed: Installed) -> None:
    link = installed.root / "opt" / NAME / "lib/certifi/cacert.pem"
    bundle = installed.root / "etc/pki/tls/certs/ca-bundle.crt"
    assert link.resolve() == bundle.resolve()


def test_the_example_configuration_and_the_units_are_in_place_and_do_nothing(
    installed: Installed,
) -> None:
    root = installed.root
    assert (root / ETC).stat().st_mode & 0o777 == 0o750
    assert (root / CONFIG).stat().st_mode & 0o777 == 0o640
    lines = (root / CONFIG).read_text().splitlines()
    assert [line for line in lines if line and not line.startswith("#")] == []
    service = (root / UNITS / f"{NAME}.service").read_text()
    [command] = re.findall("^ExecStart=(.+)$", service, re.MULTILINE)
    assert command.startswith(f"/usr/bin/{NAME} run")
    assert "--apply" not in command
    for timer in (f"{NAME}.timer", f"{NAME}-quick.timer"):
        assert (root / UNITS / timer).exists()
    assert not (root / "etc/systemd").exists()
    assert_as_packaged(installed)


@pytest.mark.parametrize("dist", PLATFORMS)
def test_an_upgrade_keeps_configuration_and_schedule_and_erasing_ends_the_schedule(
    dist: str, stage: Any, packages: Path, tmp_path: Path
) -> None:
    spool = f"/var/lib/{NAME}/journal.sqlite3.events"
    pattern = spool.replace(".", r"\.")
    with installation(packages, dist, tmp_path / "root") as installed:
        root = installed.root
        label = f"semanage fcontext -a -t foreman_proxy_spool_t {pattern}"
        assert (root / JOURNAL).parent.stat().st_mode & 0o777 == 0o700
        at_install = ["systemctl daemon-reload", label, f"restorecon -F {spool}"]
        assert installed.calls() == at_install

        configure(stage, installed, CONFIG)
        configuration = (root / CONFIG).read_text()
        installed("schedule", "install", "--cron", "--apply")
        schedule = (root / CRON).read_text()
        assert f"/usr/bin/{NAME} " in schedule
        installed("run", "--apply")
        wants = root / "etc/systemd/system/timers.target.wants"
        wants.mkdir(parents=True)
        (wants / f"{NAME}.timer").symlink_to(f"/{UNITS}/{NAME}.timer")
        installed.calls()

        installed.rpm("--upgrade", "--force", "--nodeps", installed.package)
        assert (root / CRON).read_text() == schedule
        assert (root / CONFIG).read_text() == configuration
        assert installed.calls() == [*at_install, "systemctl daemon-reload"]

        installed.rpm("--erase", NAME)
        assert not (root / CRON).exists()
        assert installed.calls() == [
            f"systemctl disable --now {NAME}.timer",
            "systemctl daemon-reload",
            f"semanage fcontext -d {pattern}",
        ]
        assert not (root / "opt" / NAME).exists()
        assert not (root / "usr/bin" / NAME).exists()
        saved = (root / CONFIG).with_name("config.yml.rpmsave")
        assert saved.read_text() == configuration
        assert (root / JOURNAL).exists()


def test_rpmlint_finds_no_fault(packages: Path) -> None:
    rpmlint = shutil.which("rpmlint")
    if not rpmlint:
        pytest.skip("rpmlint is not installed here")
    folder = ROOT / "packaging"
    files = [*packages.glob("*.rpm"), *folder.glob("*.spec")]
    assert len(files) == 3
    done = subprocess.run(
        [rpmlint, "--config", folder / "rpmlint.toml", *files],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "; 0 errors, 0 warnings," in done.stdout, done.stdout + done.stderr


# The tar


@pytest.mark.parametrize("version", PLATFORMS.values())
def test_the_wheels_install_and_upgrade_without_network(
    version: str, stage: Any, packages: Path, tmp_path: Path
) -> None:
    [archive] = packages.glob(f"*-python{version}.tar.gz")
    with tarfile.open(archive) as tar:
        tar.extractall(tmp_path)
    [unpacked] = tmp_path.glob(f"{NAME}-*")
    commands = tmp_path / "bin"
    commands.mkdir()
    (commands / f"python{version}").symlink_to(python_of(version))
    path = f"PATH={commands}:/usr/bin:/bin"
    folder = tmp_path / "program"

    def run(*words: str | Path, code: int = 0) -> str:
        command = ["env", "-i", path, *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    for _ in ("install", "upgrade"):
        output = run(unpacked / "install.sh", folder)
        assert f"Run {folder}/bin/{NAME}, or add {folder}/bin to PATH." in output
    stage.terminated("old")
    clouds = f"OS_CLIENT_CONFIG_FILE={stage.folder}/clouds.yaml"
    program = folder / "bin" / NAME
    plan = run("env", clouds, program, "--config", stage.config(), "plan")
    assert "old.example.com" in plan
    refusal = run(unpacked / "install.sh", commands, code=1)
    assert refusal.startswith(f"{commands} exists and is not a virtual environment")
