#!/usr/bin/env bash
# The source of coincurve 21.0.0, the newest, does not build with cffi 2: a Python without a wheel of coincurve cannot have it.
#
# Its build copies cffi's licence into the wheel, and looks for the file LICENSE directly in cffi's folder `.dist-info`. Since 2.0, cffi has it in
# `.dist-info/licenses`, as PEP 639 says. The build asks for any cffi, so pip takes the newest, and ends with an error before anything is
# compiled. There are wheels for Python up to 3.13. With cffi 1.17 the build goes on, but that does not know Python 3.14.
# PIP_CONSTRAINT with an older cffi changes nothing, because it does not reach the environment that pip builds in.
#
# Seen with coincurve 21.0.0, cffi 2.1.1, 2.0.0 and 1.17.1, hatchling 1.27.0, scikit-build-core 0.11.6 and setuptools 80.9.0 from PyPI on 2026-11-30.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

python3 -m venv "$folder/venv"
pip() {
    "$folder/venv/bin/pip" --disable-pip-version-check -q "$@"
}
pip install hatchling==1.27.0 scikit-build-core==0.11.6 setuptools==80.9.0
for version in 2.1.1 2.0.0 1.17.1; do
    pip install "cffi==$version"
    licence=$(cd "$folder"/venv/lib/python3*/site-packages && echo cffi-*.dist-info/{LICENSE,licenses/LICENSE} | tr ' ' '\n' | xargs ls 2> /dev/null || true)
    # Downloading a source makes its metadata, which runs this build. It looks for the licence first, and starts CMake next, which is not there.
    CMAKE_EXECUTABLE=/no-cmake pip download --no-deps --no-build-isolation --no-binary coincurve coincurve==21.0.0 --dest "$folder/$version" \
        2> "$folder/errors" || true
    result=$(grep -oE 'Expected exactly one LICENSE file.*|/no-cmake' "$folder/errors" | head -1 | sed 's:/no-cmake:it goes on to CMake:')
    echo "cffi $version has $licence: $result"
done | tee "$folder/seen"
diff - "$folder/seen" <<'EXPECTED'
cffi 2.1.1 has cffi-2.1.1.dist-info/licenses/LICENSE: Expected exactly one LICENSE file in cffi distribution, got 0
cffi 2.0.0 has cffi-2.0.0.dist-info/licenses/LICENSE: Expected exactly one LICENSE file in cffi distribution, got 0
cffi 1.17.1 has cffi-1.17.1.dist-info/LICENSE: it goes on to CMake
EXPECTED
