"""What a service does with a token: it knows the key set, and no HSM.

The arguments are the files of the token and of the key set, and the audience.
"""

import json
import sys
from pathlib import Path

import jwt


def main(token_file: str, key_set_file: str, audience: str) -> None:
    """Print the subject of a token. Raises InvalidTokenError if it is not valid."""
    token = Path(token_file).read_text()
    keys = jwt.PyJWKSet.from_json(Path(key_set_file).read_text())
    header = jwt.get_unverified_header(token)
    key = keys[header["kid"]]
    # The key set says which algorithm a key is for. A token must not choose it.
    claims = jwt.decode(token, key, algorithms=[key.algorithm_name], audience=audience)
    print(json.dumps({"kid": header["kid"], "alg": header["alg"], "sub": claims["sub"]}))


if __name__ == "__main__":
    main(*sys.argv[1:])
