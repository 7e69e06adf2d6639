#!/usr/bin/env bash
# `make packages`: build from the last commit, into build/packages, for each platform
#   * an RPM that brings its own libraries
#   * a tar of the same wheels, for sites without network and for other distributions
# Needs rpmbuild, the Pythons of PLATFORMS, and a package registry. Everything is built for x86_64 and glibc 2.28.
set -euo pipefail
cd "$(dirname "$0")/.."
PLATFORMS=("el8 3.11" "el9 3.9")    # RHEL 8's python3.11, RHEL 9's python3
name=satellite-osp-cleanup
version=$(sed -n 's/^version = //p' setup.cfg)
out=$PWD/build/packages
export PIP_DISABLE_PIP_VERSION_CHECK=1

# pip takes only the platforms that are named: every older glibc fits as well.
wheel_platforms=(--platform manylinux1_x86_64 --platform manylinux2010_x86_64 --platform manylinux2014_x86_64)
for minor in $(seq 5 28); do
    wheel_platforms+=(--platform "manylinux_2_${minor}_x86_64")
done

collect() { # of the Python $1 (in a virtual environment), all wheels into $2
    "$1" -m pip wheel --quiet --no-deps --wheel-dir "$2" "$work/source"
    # The Python of the platform itself asks: pip reads markers such as python_version < "3.10" by the one it runs on.
    "$1" -m pip download --quiet --only-binary=:all: "${wheel_platforms[@]}" --dest "$2" "$2/${name//-/_}"-*.whl
}

bundled() { # what an RPM provides with the wheels in $1, for who looks for versions with a security flaw
    for wheel in "$1"/*.whl; do
        IFS=- read -r library library_version _ <<<"$(basename "$wheel")"
        [ "$library" = "${name//-/_}" ] || echo "bundled(python3dist(${library//_/-})) = $library_version"
    done | paste --serial --delimiters=,
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/source"
git archive HEAD | tar -x -C "$work/source"
rm -rf "$out" && mkdir -p "$out"

for platform in "${PLATFORMS[@]}"; do
    read -r dist python <<<"$platform"
    folder=$name-$version-python$python
    content=$work/$dist/$folder
    interpreter=$work/$dist/venv/bin/python
    "$(packaging/find-python "$python")" -m venv "$work/$dist/venv"
    mkdir -p "$content"
    collect "$interpreter" "$content/wheels"
    # This also shows that nothing is missing.
    "$interpreter" -m pip install --quiet --no-index "$content"/wheels/*.whl
    (
        cd "$work/source"
        "$interpreter" packaging/shipped.py "$content"
        cp -r LICENSE README.md CHANGELOG.md docs packaging/$name.{8,bash,zsh} "$content"
        sed "s|@PYTHON@|python$python|" packaging/install.sh >"$content/install.sh"
        chmod 0755 "$content/install.sh"
    )
    tar -c -z -f "$out/$folder.tar.gz" --owner=0 --group=0 --sort=name -C "$work/$dist" "$folder"
    rpmbuild -bb --quiet --target x86_64 --define "_topdir $work/$dist/rpm" --define "_sourcedir $out" \
        --define "_rpmdir $out" --define "_build_name_fmt %%{NAME}-%%{VERSION}-%%{RELEASE}.%%{ARCH}.rpm" \
        --define "dist .$dist" --define "python $python" --define "interpreter $interpreter" \
        --define "libraries $(bundled "$content/wheels")" "$work/source/packaging/$name.spec"
done
ls -l "$out"
