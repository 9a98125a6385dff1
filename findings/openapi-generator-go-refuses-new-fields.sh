#!/usr/bin/env bash
# Clients that openapi-generator makes for Go refuse an answer with a field that the description does not have, if its object
# has a required field; and take it, if it has none.
#
# In a schema, an object may have other fields unless `additionalProperties` is false (OpenAPI 3.0, after JSON Schema), so
# that a server can add one. The generator's default, disallowAdditionalPropertiesIfNotPresent=true, is the other way round.
# In Go that shows only where the object has a required field: there the generated UnmarshalJSON calls DisallowUnknownFields.
# So a server that adds a field to one answer breaks deployed clients, and one that adds a field to another does not. With
# disallowAdditionalPropertiesIfNotPresent=false the generated code keeps the fields that it does not know.
#
# Seen with openapi-generator-cli 7.26.0 from PyPI, Java 17 and Go 1.26 on 2026-12-01.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

python3 -m venv venv
venv/bin/pip --disable-pip-version-check -q install openapi-generator-cli==7.26.0
venv/bin/openapi-generator-cli version
go version

cat > api.json <<'DESCRIPTION'
{
  "openapi": "3.0.0",
  "info": {"title": "api", "version": "1"},
  "paths": {},
  "components": {
    "schemas": {
      "Needed": {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]},
      "Free": {"type": "object", "properties": {"name": {"type": "string"}}}
    }
  }
}
DESCRIPTION
cat > program.go <<'PROGRAM'
package api

import (
	"encoding/json"
	"fmt"
	"testing"
)

func TestReads(*testing.T) {
	for _, object := range []any{new(Needed), new(Free)} {
		err := json.Unmarshal([]byte(`{"name": "a", "more": 1}`), object)
		fmt.Printf("%T %v\n", object, err)
	}
}
PROGRAM

read_with() {
    venv/bin/openapi-generator-cli generate -i api.json -g go -o "$1" --package-name api \
        --additional-properties="disallowAdditionalPropertiesIfNotPresent=$1" > log 2>&1 || { cat log; exit 1; }
    rm -rf "$1/test"
    cp program.go "$1/program_test.go"
    (cd "$1" && go test -count=1 -v . | grep '^\*api')
}

{
    echo "as it is by default:"
    read_with true
    echo "with disallowAdditionalPropertiesIfNotPresent=false:"
    read_with false
} | tee seen
diff - seen <<'EXPECTED'
as it is by default:
*api.Needed json: unknown field "more"
*api.Free <nil>
with disallowAdditionalPropertiesIfNotPresent=false:
*api.Needed <nil>
*api.Free <nil>
EXPECTED
echo "as described"
