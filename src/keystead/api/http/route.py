"""The rows of the route table, and the arguments and results of handlers."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from enum import Enum, auto
from functools import cached_property
from typing import Annotated, Any, Generic, TypeVar
from urllib.parse import parse_qs

import msgspec

from keystead.api.http.encoding import decode_base64
from keystead.api.http.json_bodies import decode_json
from keystead.api.http.long_bodies import SHORT_BODY_BYTES, DecodeText, decode_long_json
from keystead.api.http.negotiation import is_media_type, media_type
from keystead.api.http.statuses import JSON, HttpError
from keystead.api.http.unread_body import BodyReader
from keystead.errors import InvalidInput, NotPermitted, WrongState
from keystead.model.lifecycle import State
from keystead.model.passphrases import parse_new_passphrase, parse_passphrase
from keystead.model.secret import Hidden, Secret
from keystead.model.users import Caller, Role
from keystead.operations.audit_actions import Action
from keystead.operations.caller_context import CallerContext
from keystead.operations.hsm import Hsm
from keystead.operations.session import Session
from keystead.sealing.update_image import MAX_ENVELOPE_BYTES, MAX_IMAGE_BYTES
from keystead.storage.conditional import Revisions
from keystead.wire.edge_messages import Request, Response

PEM = "application/x-pem-file"
BYTES = "application/octet-stream"
JOSE = "application/jose"
"""A JWS in compact serialization (RFC 7515, 9.2.1)."""
OPENMETRICS = "application/openmetrics-text"
PROMETHEUS = "text/plain"
NDJSON = "application/x-ndjson"
HTML = "text/html"
MULTIPART = "multipart/form-data"

API_ROOT = "/api/v1"

SMALL_BODY = 1024 * 1024
LARGE_BODY = 67 * 1024 * 1024
"""The limit for sign, encrypt and decrypt: 50 MiB of data in base64."""
UPDATE_BODY = MAX_ENVELOPE_BYTES + MAX_IMAGE_BYTES
"""The limit for update, which reads the body as it arrives."""
BACKUP_BODY = 16 * 1024 * 1024 * 1024
"""The limit for restore, which reads the body as it arrives. It is enough for some millions of
keys, and limits the disk space that a restore can take before it is refused."""

Body = TypeVar("Body")
Content = TypeVar("Content")


class Parts(Hidden):
    """The parts of a multipart/form-data body are the fields of a shape that derives from this."""


class Reach(Enum):
    """The namespaces whose users may call a row."""

    ANY_NAMESPACE = "any"
    ROOT_ONLY = "root only"


class Reply(Hidden, Generic[Content]):
    """The reply of a handler, as JSON of `Content` or as bytes of the row's media type.

    Content-Type is the row's unless `headers` has its own.

    With `parts`, those are the body, made while it is sent.
    """

    status: int
    body: bytes = b""
    headers: list[tuple[str, str]] = msgspec.field(default_factory=list)
    parts: AsyncGenerator[bytes, None] | None = None


class ResponseCut(Exception):
    """Raised if the rest of a response body will not come. The reason is logged."""


class StreamedResponse(msgspec.Struct, frozen=True):
    """A response whose body is made while it is sent.

    `parts` raises ResponseCut. The code that sends the parts closes it in the end.
    """

    head: Response
    parts: AsyncGenerator[bytes, None]


# What a handler may answer when that is not 200 with content, or 204 without (`Reply[None]`).
Created = Annotated[Reply[Content], 201]
Changed = Annotated[Reply[None], 204, 304]
Empty = Annotated[Reply[None], 200]

NO_CONTENT: Reply[None] = Reply(204)
NOT_MODIFIED: Reply[None] = Reply(304)


class Call(Hidden, Generic[Body]):
    """One request on its way through dispatch and handler; `Body` is the shape it must have."""

    hsm: Hsm
    route: "Route"
    request: Request
    parameters: Mapping[str, str]
    unread_body: BodyReader
    produces: str
    """The media type of the response, which the row offers and the client accepts."""
    state: State
    """The state of the HSM when the head of the request arrived."""
    authenticated: Caller | None = None
    operational: Session | None = None
    action: Action | None = None
    """What the journal records of the request, if it may change something."""
    compared: Revisions = {}  # noqa: RUF012 - msgspec gives each one its own
    """The revisions that If-Match and If-None-Match were compared with. Commits depend on them."""

    @property
    def caller(self) -> Caller:
        """The authenticated caller. Only rows with roles may use it."""
        if self.authenticated is None:
            raise NotPermitted("Authentication required.")
        return self.authenticated

    @property
    def session(self) -> Session:
        """The session of the Operational HSM. Only rows for that state may use it."""
        if self.operational is None:
            raise NotPermitted("The HSM is not operational.")
        return self.operational

    @property
    def context(self) -> CallerContext:
        """The context for an operation. Only rows with roles may use it."""
        session, caller = self.operational, self.authenticated
        if session is None or caller is None:
            raise NotPermitted("Authentication required.")
        return CallerContext(session, caller, self.request.client, self.hsm.time.now)

    def new_passphrase(self, text: str, *, name: str = "passphrase") -> Secret:
        """Return a new passphrase. Raises InvalidInput, which names the field `name`.

        One of the most common is accepted only if the operator has set `common_passphrases`.
        """
        parse = parse_passphrase if self.hsm.allows_common_passphrases else parse_new_passphrase
        return parse(text, name=name)

    def require_allowed(self) -> None:
        """Raise an error unless the state and the caller's permission are still as at first.

        It is asked when the head has come, and again when a body has that came after it, by every
        commit (see keystead.storage.conditional), before what was read leaves, and between the
        parts of a response.
        """
        session = self.operational
        if session is None:
            if self.hsm.state is not self.state:
                raise WrongState("The state of the HSM has changed meanwhile.")
        elif session.ended:
            raise WrongState("The HSM was locked in the meantime.")
        self.require_open(self.route)

    def require_open(self, row: "Route") -> None:
        """Raise an error unless the caller may use `row`, of the same path, now."""
        caller = self.authenticated
        if caller is None:
            return
        if caller.standing.is_revoked:
            caller.require_unrevoked()
        if row.guard is not None:
            row.guard(self)
        if caller.role not in row.roles:
            raise NotPermitted("Your role does not allow this.")
        namespace = caller.user_id.namespace
        if namespace is None:
            return
        if row.reach is Reach.ROOT_ONLY:
            raise NotPermitted("Only users without a namespace may do this.")
        if not self.session.is_namespace(namespace):
            raise NotPermitted("The namespace of this user has not been created.")

    def query(self, name: str) -> str | None:
        """Return a query parameter's first value, '' without a value, or None if it is missing."""
        if not self.request.query:
            return None
        values = parse_qs(self.request.query, keep_blank_values=True).get(name)
        return values[0] if values else None

    def flag(self, name: str) -> bool:
        """Return whether a query parameter is `true`. Raises InvalidInput if it is neither that
        nor `false`.
        """
        value = self.query(name)
        if value not in {None, "true", "false"}:
            raise InvalidInput(f"{name} must be true or false.")
        return value == "true"

    def require_content_type(self) -> None:
        """Raise 415 unless the request's Content-Type is one the row accepts.

        A missing one counts as application/octet-stream, as RFC 9110 section 8.3 has it.
        """
        self.route.accepts.require(self.request.headers.get("content-type", BYTES))

    def body(self) -> Awaitable[bytes]:
        """Return the whole body, within the row's limit."""
        if self.route.accepts.types:
            self.require_content_type()
        return self.unread_body.read(self.route.body_limit)

    async def json(self, shape: type[Body]) -> Body:
        """Return the body as a `shape`. Raises InvalidInput if a field does not fit."""
        return decode_json(await self.body(), shape)

    def short_body(self) -> bytes | None:
        """Return the body if it is short and has come, as most have: its reader need not wait."""
        row, body = self.route, self.unread_body.whole
        if body is None or len(body) > SHORT_BODY_BYTES or len(body) > row.body_limit:
            return None
        if row.accepts.types:
            self.require_content_type()
        return body

    async def json_and_base64(self, shape: type[Body]) -> tuple[Body, DecodeText]:
        """Return the body as a `shape`, and the function that decodes its base64 texts.

        A missing body counts as an object without fields.
        """
        body = await self.body() or b"{}"
        if len(body) > SHORT_BODY_BYTES:
            return await decode_long_json(body, shape)
        return decode_json(body, shape), decode_base64


Handler = Callable[[Call[Any]], Awaitable[Reply[Any]]]
"""A handler. The API's description uses its annotations and its docstring."""
Guard = Callable[[Call[Any]], None]

ALL_STATES = frozenset(State)
OPERATIONAL = frozenset({State.OPERATIONAL})


class Authentication(Enum):
    """The authentication that a row asks for."""

    NONE = auto()
    ROLE = auto()
    """The caller must be a user with one of the row's roles."""
    ROLE_WHEN_OPERATIONAL = auto()
    """The same in state Operational, and nothing in others."""
    ROLE_OR_UNLOCK_PASSPHRASE = auto()
    """The same in state Operational, and to know the unlock passphrase in Locked and Failed.

    Nothing in those either if the operator has chosen `open_shutdown`.
    """
    ROLE_OR_UNLOCK_PASSPHRASE_IF_FAILED = auto()
    """The same in state Operational. In Failed also the user `unlock` with the unlock passphrase:
    users may be out of reach."""
    UNLOCK_PASSPHRASE = auto()
    """The caller must know the unlock passphrase."""


class EarlyCheck(Enum):
    """What is checked of an upload's Content-Type before the size and the ID, as NetHSM does."""

    NONE = auto()
    IS_MEDIA_TYPE = auto()
    """That it is there and is a media type. Whether it is one of the row's is checked later."""
    IS_ACCEPTED = auto()
    """That it is one of the row's media types."""


class Accepted(msgspec.Struct, frozen=True):
    """The media types that a row accepts."""

    types: tuple[str, ...] = ()
    """A body must have one of these. If there are none, Content-Type is ignored."""
    early: EarlyCheck = EarlyCheck.NONE
    """What is checked of it before the size and the ID."""

    def require(self, content_type: str) -> None:
        """Raise HttpError 415 unless a Content-Type is one of the media types."""
        if media_type(content_type) not in self.types:
            raise HttpError(415, f"Content-Type must be {' or '.join(self.types)}.")

    def require_early(self, content_type: str) -> None:
        """Raise HttpError 415 if a Content-Type, '' if there is none, fails the early check.

        The row has such a check: for the others, nothing is called.
        """
        if self.early is EarlyCheck.IS_ACCEPTED or not is_media_type(content_type):
            self.require(content_type)


class Route(msgspec.Struct, frozen=True, dict=True):
    """One operation of the API: its callers, states and handler."""

    method: str
    """GET, POST, PUT or DELETE. HEAD is no row: see `answers_head`."""
    path: str
    """The path below `root`. `{name}` stands for a segment that the handler gets."""
    handler: Handler
    """The handler. Its types and docstring are part of the API's description."""
    states: frozenset[State] = OPERATIONAL
    """The states of the HSM in which the row can be used. In others, the response is 412."""
    roles: frozenset[Role] = frozenset()
    """The roles that may call the row, if `authentication` asks for a role."""
    authentication: Authentication = Authentication.ROLE
    """The authentication that the row asks for."""
    reach: Reach = Reach.ANY_NAMESPACE
    """The namespaces whose users may call the row."""
    guard: Guard | None = None
    """Refuses callers by other rules than role and namespace.

    Raises NotPermitted, or InvalidInput if an ID is malformed.
    """
    accepts: Accepted = Accepted()
    """The media types of the body."""
    body_limit: int = SMALL_BODY
    """The most bytes of a body."""
    query: tuple[str, ...] = ()
    """The names of the parameters after `?`, for the description."""
    produces: str = JSON
    """The media type of the answer."""
    also_produces: tuple[str, ...] = ()
    """Media types that it answers with only to clients that prefer them."""
    answers_head: bool = False
    """Whether HEAD is answered as well."""
    has_tag: bool = False
    """Whether the answer to a GET gets an entity tag, for If-Match and If-None-Match to name."""
    ends_session: bool = False
    """Whether the row locks the HSM or replaces its records, so that its session ends before it."""
    only_computes: bool = False
    """Whether it changes counters only. Work that has begun is counted even if it is cancelled."""
    works_with_full_journal: bool = False
    """Whether the row may change something even if a full journal refuses changes."""
    root: str = API_ROOT
    """The prefix of the path."""

    def __post_init__(self) -> None:
        """Raise ValueError for roles without an authentication that uses them."""
        if self.roles and self.authentication in _WITHOUT_ROLES:
            raise ValueError(f"{self.method} {self.path} has roles and asks for none")

    @cached_property
    def changes_nothing(self) -> bool:
        """Whether its handler may be cancelled anywhere: no change is left half done."""
        return self.only_computes or self.method == "GET"

    @cached_property
    def revokes(self) -> bool:
        """Whether it takes away what someone could do.

        A cluster answers once no member allows it.
        """
        return self.method == "DELETE" or self._narrows

    @property
    def _narrows(self) -> bool:
        """Whether what the row writes may allow less than what was there."""
        return self.method != "GET" and self.path.endswith(_NARROWING)


_NARROWING = ("/passphrase", "/policy", "/move", "/refuse", "/restrictions/tags/{tag}")
_WITHOUT_ROLES = frozenset({Authentication.NONE, Authentication.UNLOCK_PASSPHRASE})
