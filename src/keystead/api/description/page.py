"""The API's description as an HTML page without scripts, made for the first request.

A page on the HSM's own origin may use the credentials that a browser has for it, so it runs no
code, ours or anyone's: the policy that goes with it forbids all but its one style sheet.
"""

import base64
import hashlib
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from itertools import groupby
from typing import Final

from keystead.api.description.openapi import Json
from keystead.api.http.route import ALL_STATES, HTML, Authentication, Call, Reply, Route

PATHS: Final = ("/api_docs", "/")
"""People type the second path. Test suites of clients use it to see that the server runs."""

_STYLE: Final = """
:root { color-scheme: light dark; --line: #8884; --soft: #8882 }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
code, pre { font: 0.9em ui-monospace, monospace }
details { border: 1px solid var(--line); border-radius: 6px; margin: 0.4rem 0 }
summary { cursor: pointer; padding: 0.4rem 0.8rem }
details[open] > summary { border-bottom: 1px solid var(--line) }
details > div { padding: 0 0.8rem 0.8rem }
.method { display: inline-block; min-width: 4.5rem; font-weight: bold }
.note { opacity: 0.8 }
table { border-collapse: collapse; width: 100% }
th, td { text-align: left; vertical-align: top; padding: 0.2rem 0.6rem 0.2rem 0 }
tr + tr { border-top: 1px solid var(--soft) }
"""

_ESCAPED: Final = str.maketrans(
    {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#x27;"}
)

_POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        f"style-src 'sha256-{base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()}'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)

_HEADERS: Final = [
    ("Content-Type", f"{HTML}; charset=utf-8"),
    ("Content-Security-Policy", _POLICY),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
]


def documentation_rows(describe: Callable[[], Json]) -> tuple[Route, ...]:
    """Return the rows that give the OpenAPI document of `describe` as a page."""

    @cache
    def page() -> bytes:
        return render(describe()).encode()

    async def api_docs(_: Call[None]) -> Reply[bytes]:
        """GET /api_docs: the API to read."""
        return Reply(200, page(), list(_HEADERS))

    return tuple(
        Route(
            "GET",
            path,
            api_docs,
            ALL_STATES,
            authentication=Authentication.NONE,
            produces=HTML,
            answers_head=True,
            has_tag=True,
            root="",
        )
        for path in PATHS
    )


def render(document: Json) -> str:
    """Return an OpenAPI document as HTML: its operations by tag, then its shapes."""
    info = document["info"]
    title = f"{escape(info['title'])} {escape(info['version'])}"
    root = document["servers"][0]["url"]
    parts = [
        "<!DOCTYPE html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width">',
        f"<title>{title}</title><style>{_STYLE}</style></head><body>",
        f"<h1>{title}</h1>",
        f"<p>{escape(info['description'])} For programs:",
        f'<a href="{root}/openapi.json">{root}/openapi.json</a>.</p>',
        *_operations(document),
        "<h2>Shapes</h2>",
        *(_shape(name, schema) for name, schema in document["components"]["schemas"].items()),
        "</body></html>",
    ]
    return "\n".join(parts) + "\n"


def escape(text: str) -> str:
    """Return `text` for HTML, as html.escape does, whose module loads 0.5 MiB of entities."""
    return text.translate(_ESCAPED)


def _operations(document: Json) -> Iterator[str]:
    operations = [
        (operation["tags"][0], method, path, operation)
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if method != "head"
    ]
    for tag, group in groupby(sorted(operations, key=lambda one: one[0]), lambda one: one[0]):
        yield f"<h2>{escape(tag)}</h2>"
        for _, method, path, operation in group:
            yield _operation(method, path, operation)


def _operation(method: str, path: str, operation: Json) -> str:
    return "".join(
        (
            f'<details id="{escape(operation["operationId"])}"><summary>',
            f'<code><span class="method">{method.upper()}</span> {escape(path)}</code> ',
            f'<span class="note">{escape(operation["summary"])}</span></summary><div>',
            f"<p>{escape(_who(operation))}</p>",
            _parameters(operation.get("parameters", ())),
            _contents("Body", operation.get("requestBody", {}).get("content", {})),
            *(
                _contents(f"Answer {status}", response.get("content", {}))
                for status, response in operation["responses"].items()
            ),
            f"<p>Statuses: {', '.join(operation['responses'])}.</p>",
            "</div></details>",
        )
    )


def _who(operation: Json) -> str:
    states, roles = operation["x-states"], operation["x-roles"]
    who = " or ".join(roles) if roles else "everyone"
    if operation["x-root-only"] and roles:
        who += " without a namespace"
    when = "in every state" if len(states) == len(ALL_STATES) else f"in state {' or '.join(states)}"
    return f"For {who}, {when}."


def _parameters(parameters: Iterable[Json]) -> str:
    rows = [
        f"<tr><td><code>{escape(one['name'])}</code></td><td>in the {one['in']}</td></tr>"
        for one in parameters
    ]
    return f"<table>{''.join(rows)}</table>" if rows else ""


def _contents(title: str, contents: Json) -> str:
    return "".join(
        f"<p>{title}, <code>{escape(media_type)}</code>: {_type(content['schema'])}</p>"
        for media_type, content in contents.items()
    )


def _shape(name: str, schema: Json) -> str:
    required = schema.get("required", ())
    rows = [
        f"<tr><td><code>{escape(field)}</code></td><td>{_type(of)}</td>"
        f"<td>{'' if field in required else 'optional'}</td></tr>"
        for field, of in schema.get("properties", {}).items()
    ]
    body = f"<table>{''.join(rows)}</table>" if rows else f"<p>{_type(schema)}</p>"
    described = escape(schema.get("description", ""))
    return (
        f'<details id="shape-{escape(name)}"><summary><code>{escape(name)}</code> '
        f'<span class="note">{described}</span></summary><div>{body}</div></details>'
    )


def _type(schema: Json) -> str:
    """Return a short text for a schema, with links to the shapes that it refers to."""
    if "$ref" in schema:
        name = escape(schema["$ref"].rpartition("/")[2])
        return f'<a href="#shape-{name}">{name}</a>'
    if "enum" in schema:
        return " | ".join(f"<code>{escape(str(one))}</code>" for one in schema["enum"])
    if "anyOf" in schema:
        return " or ".join(_type(one) for one in schema["anyOf"])
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    if isinstance(schema.get("additionalProperties"), dict):
        return f"object of {_type(schema['additionalProperties'])}"
    return escape(schema.get("type", "bytes"))
