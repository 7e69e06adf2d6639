#!/bin/sh
# Install the program from the wheels beside this script, or upgrade it.  Needs no network.
#   ./install.sh [FOLDER]      FOLDER: the virtual environment; /opt/satellite-osp-cleanup without it
set -eu
folder=${1:-/opt/satellite-osp-cleanup}
if [ -d "$folder" ] && [ ! -e "$folder/pyvenv.cfg" ]; then
    echo "$folder exists and is not a virtual environment: the RPM's? Name another folder, or remove it first." >&2
    exit 1
fi
@PYTHON@ -m venv "$folder"
"$folder/bin/pip" install --quiet --no-index --upgrade "$(dirname "$0")"/wheels/*.whl
"$folder/bin/satellite-osp-cleanup" --version
echo "Run $folder/bin/satellite-osp-cleanup, or add $folder/bin to PATH."
