#!/bin/sh
# Make .venv hold exactly what uv.lock names; needs only Python (3.11 or newer) with its venv module.
set -eu
python=${1:-python3}

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "stoker needs Python 3.11 or newer; $python is older. Set PYTHON=/path/to/python3.11" >&2
    exit 1
}
if command -v uv >/dev/null 2>&1; then
    uv=uv
else
    # ensurepip is what Debian splits off into python3-venv
    "$python" -c 'import ensurepip' 2>/dev/null || {
        echo "this Python cannot make virtual environments; on Debian: apt-get install python3-venv" >&2
        exit 1
    }
    [ -x .uv/bin/uv ] || { "$python" -m venv .uv && .uv/bin/pip install --quiet --disable-pip-version-check uv; }
    uv=.uv/bin/uv
fi
"$uv" sync --quiet --frozen --extra demo --python "$python"
