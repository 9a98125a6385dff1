#!/usr/bin/env bash
# The strict push parser of the PyPI package multipart accepts or refuses one and the same body, by how it is cut.
#
# RFC 2046 allows text behind the closing delimiter of a multipart body, and most clients end the body with a CRLF there.
# PushMultipartParser(strict=True) ignores what follows the delimiter in the same chunk, but raises StrictParserError for
# it in the next chunk. So a server that reads from a socket refuses a valid upload now and then: whenever a read ends
# right behind the closing delimiter. A backup of an HSM is such an upload, and is large enough for many reads.
#
# Seen with multipart 2.0.1 on 2026-11-28.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet multipart==2.0.1

cat > "$folder/cut.py" <<'PYTHON'
from importlib.metadata import version

from multipart import MultipartError, PushMultipartParser

BODY = b'--x\r\nContent-Disposition: form-data; name="backup_file"\r\n\r\nbackup\r\n--x--\r\n'

print("multipart", version("multipart"))
for cut in (len(BODY) - 3, len(BODY) - 2, len(BODY) - 1, len(BODY)):
    try:
        with PushMultipartParser("x", strict=True) as parser:
            for chunk in (BODY[:cut], BODY[cut:]):
                if chunk:
                    list(parser.parse(chunk))
        print(len(BODY) - cut, "bytes in the last chunk: accepted")
    except MultipartError as error:
        print(len(BODY) - cut, "bytes in the last chunk: refused:", error)
PYTHON
"$folder/venv/bin/python" "$folder/cut.py" | tee "$folder/seen"

grep -q '^3 bytes in the last chunk: accepted$' "$folder/seen"
grep -q '^2 bytes in the last chunk: refused: Unexpected data' "$folder/seen"
grep -q '^1 bytes in the last chunk: refused: Unexpected data' "$folder/seen"
grep -q '^0 bytes in the last chunk: accepted$' "$folder/seen"
echo "as described"
