"""The head of a request: what is read, what is refused, and that another parser reads the same."""

import contextlib

import httptools
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from keystead.edge.limits import MAX_HEADERS, MAX_TARGET_BYTES
from keystead.edge.request_head import RequestRefused, parse_request_head

HOST = "Host: hsm\r\n"


def head(*lines: str, request_line: str = "GET /api/v1/info HTTP/1.1") -> bytes:
    return "".join(f"{line}\r\n" for line in (request_line, "Host: hsm", *lines)).encode("latin-1")


def refusal(block: bytes) -> RequestRefused:
    with pytest.raises(RequestRefused) as caught:
        parse_request_head(block)
    return caught.value


def test_a_request_is_read():
    read = parse_request_head(
        head(
            "Authorization: Basic YTpi",
            "content-TYPE:application/json",
            "Content-Length: 12",
            "X-Other: not forwarded",
            request_line="POST /api/v1/keys/a%2Fb/sign?x=1&y=%20?z HTTP/1.1",
        )
    )
    assert (read.method, read.path, read.query) == (
        "POST",
        "/api/v1/keys/a%2Fb/sign",
        "x=1&y=%20?z",
    )
    assert read.headers == {"authorization": "Basic YTpi", "content-type": "application/json"}
    assert (read.content_length, read.keep_alive, read.expects_continue) == (12, True, False)


def test_white_space_around_a_value_is_not_part_of_it():
    assert parse_request_head(head("Accept: \t a \t b \t ")).headers == {"accept": "a \t b"}


def test_a_list_may_be_repeated_and_is_joined():
    read = parse_request_head(head('If-Match: "a"', 'if-match: "b"'))
    assert read.headers == {"if-match": '"a", "b"'}


def test_without_a_length_there_is_no_body():
    assert parse_request_head(head()).content_length == 0


def test_a_chunked_body_has_no_length():
    assert parse_request_head(head("Transfer-Encoding: Chunked")).content_length is None


def test_a_proxy_may_use_the_absolute_form():
    read = parse_request_head(head(request_line="GET https://hsm:8443/api/v1/info?a=b HTTP/1.1"))
    assert (read.path, read.query) == ("/api/v1/info", "a=b")
    read = parse_request_head(head(request_line="GET http://hsm?a HTTP/1.1"))
    assert (read.path, read.query) == ("/", "a")


@pytest.mark.parametrize(
    ("version", "connection", "kept"),
    [
        ("1.1", None, True),
        ("1.1", "close", False),
        ("1.1", "Upgrade, CLOSE", False),
        ("1.1", "upgrade", True),
        ("1.0", None, False),
        ("1.0", "Keep-Alive", False),
        ("1.0", "close", False),
    ],
)
def test_the_connection_is_kept_as_version_and_header_say(version, connection, kept):
    lines = [] if connection is None else [f"Connection: {connection}"]
    read = parse_request_head(head(*lines, request_line=f"GET / HTTP/{version}"))
    assert read.keep_alive is kept


def test_only_http_1_1_can_expect_100_continue():
    expect = "Expect: 100-Continue"
    assert parse_request_head(head(expect)).expects_continue
    assert not parse_request_head(head(expect, request_line="GET / HTTP/1.0")).expects_continue


def test_http_1_0_needs_no_host():
    assert parse_request_head(b"GET / HTTP/1.0\r\n").path == "/"


@pytest.mark.parametrize(
    "host",
    [
        *("", ":8443", "hsm:", "a_b.example:1", "h%73m", "192.0.2.1:8443"),
        *("[::1]", "[2001:db8::1]:8443", "[::ffff:192.0.2.1]", "[fe80::1%25eth0]:1"),
    ],
)
def test_a_host_is_a_name_or_an_address_with_a_port_or_without(host):
    block = f"GET / HTTP/1.1\r\nHost: {host}\r\n".encode()
    assert parse_request_head(block).path == "/"


@pytest.mark.parametrize(
    "host",
    [
        *("a b", "a/b", "user@hsm", "hsm?", "hsm#a", "hsm:a", "hsm:1:2", "h%7", "hsm\\", '"hsm"'),
        *("::1", "[::1", "::1]", "[]", "[::1]a", "[[::1]]", "hsm\xe9", "a" * 9000 + "@"),
    ],
)
@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_any_other_host_is_refused(host, version):
    refused = refusal(f"GET / HTTP/{version}\r\nHost: {host}\r\n".encode("latin-1"))
    assert (refused.status, refused.message) == (400, "The Host header is malformed.")


AMBIGUOUS = {
    "length and chunked": head("Content-Length: 3", "Transfer-Encoding: chunked"),
    "chunked and length": head("Transfer-Encoding: chunked", "Content-Length: 3"),
    "two lengths": head("Content-Length: 3", "Content-Length: 4"),
    "the same length twice": head("Content-Length: 3", "Content-Length: 3"),
    "a list of lengths": head("Content-Length: 3, 3"),
    "a signed length": head("Content-Length: +3"),
    "a negative length": head("Content-Length: -3"),
    "a hexadecimal length": head("Content-Length: 0x3"),
    "a length with digits of another script": head("Content-Length: ²"),
    "an empty length": head("Content-Length:"),
    "a length with an underscore": head("Content-Length: 1_0"),
    "a length with a fraction": head("Content-Length: 3.0"),
    "a length with an exponent": head("Content-Length: 3e1"),
    "a length in quotes": head('Content-Length: "3"'),
    "a length after a vertical tab": head("Content-Length: \x0b3"),
    "a length before a form feed": head("Content-Length: 3\x0c"),
    "a length and spaces": head("Content-Length: 3 3"),
    "a length and a comma": head("Content-Length: 3,"),
    "a coding after a vertical tab": head("Transfer-Encoding: \x0bchunked"),
    "a coding before a NUL": head("Transfer-Encoding: chunked\0"),
    "a coding folded away": head("Transfer-Encoding:", "\tchunked"),
    "a coding with a space before the colon": head("Transfer-Encoding : chunked"),
    "a coding with a tab before the colon": head("Transfer-Encoding\t: chunked"),
    "a coding that is two headers": head(
        "Transfer-Encoding: identity", "Transfer-Encoding: chunked"
    ),
    "a length hidden by a bare CR": head("X: y\rContent-Length: 3"),
    "a length hidden by a NUL": head("X: y\0Content-Length: 3"),
    "a coding hidden by a bare LF": head("X: y\nTransfer-Encoding: chunked"),
    "a line of CR": head("\r"),
    "a space before the first header": b"GET / HTTP/1.1\r\n Content-Length: 3\r\nHost: hsm\r\n",
    "a chunked body to an older client and a length": head(
        "Transfer-Encoding: chunked", "Content-Length: 3", request_line="POST / HTTP/1.0"
    ),
    "a huge length": head("Content-Length: 9999999999999999999"),
    "two transfer codings": head("Transfer-Encoding: chunked", "Transfer-Encoding: chunked"),
    "chunked in HTTP/1.0": head("Transfer-Encoding: chunked", request_line="GET / HTTP/1.0"),
    "two hosts": head("Host: other"),
    "two credentials": head("Authorization: Basic YTpi", "Authorization: Basic YTpj"),
    "two content types": head("Content-Type: a/b", "Content-Type: a/b"),
    "no host": b"GET / HTTP/1.1\r\nAccept: */*\r\n",
    "a folded line": head("Accept: a", " b"),
    "a folded first line": b"GET / HTTP/1.1\r\n Host: hsm\r\n",
    "a bare CR in a value": head("Accept: a\rX: b"),
    "a bare CR in a name": head("Acc\rept: a"),
    "a bare LF": head("Accept: a\nContent-Length: 3"),
    "a NUL": head("Accept: a\0b"),
    "a control character": head("Accept: a\x7fb"),
    "a space before the colon": head("Content-Length : 3"),
    "an empty name": head(": 3"),
    "no colon": head("Content-Length 3"),
    "a name that is no token": head("Content(Length): 3"),
    "a non-ASCII name": head("Contént-Length: 3"),
    "two spaces in the request line": head(request_line="GET  / HTTP/1.1"),
    "a tab in the request line": head(request_line="GET\t/ HTTP/1.1"),
    "no target": head(request_line="GET HTTP/1.1"),
    "a method that is no token": head(request_line="G(T / HTTP/1.1"),
    "a target that is no path": head(request_line="GET api HTTP/1.1"),
    "an authority": head(request_line="CONNECT hsm:443 HTTP/1.1"),
    "a scheme without authority": head(request_line="GET https:///x HTTP/1.1"),
    "a non-ASCII target": head(request_line="GET /é HTTP/1.1"),
    "something after the version": head(request_line="GET / HTTP/1.1 "),
    "HTTP/0.9": b"GET /\r\n",
    "a version in lower case": head(request_line="GET / http/1.1"),
    "a version of two digits": head(request_line="GET / HTTP/1.10"),
    "a version with a plus": head(request_line="GET / HTTP/+1.1"),
    "the wrong protocol": head(request_line="GET / HTTPS/1.1"),
    "a fragment's scheme": head(request_line="GET //hsm@[::1]\x7f HTTP/1.1"),
    "TLS on TLS": b"\x16\x03\x01\x02\x00\x01\r\n",
    "nothing": b"\r\n",
}


@pytest.mark.parametrize("block", AMBIGUOUS.values(), ids=AMBIGUOUS.keys())
def test_what_is_malformed_or_ambiguous_is_refused(block):
    assert refusal(block).status == 400


@pytest.mark.parametrize(
    ("block", "status"),
    [
        (head(request_line=f"GET /{'a' * MAX_TARGET_BYTES} HTTP/1.1"), 414),
        (head("Expect: a miracle"), 417),
        (head(*["X: y"] * MAX_HEADERS), 431),
        (head("Transfer-Encoding: gzip, chunked"), 501),
        (head("Transfer-Encoding: identity"), 501),
        (head("Transfer-Encoding: xchunked"), 501),
        (head("Transfer-Encoding: chunked, identity"), 501),
        (head("Transfer-Encoding: chunked, chunked"), 501),
        (head("Transfer-Encoding: chunked;q=1"), 501),
        (head("Transfer-Encoding: chunked,"), 501),
        (head('Transfer-Encoding: "chunked"'), 501),
        (head("Transfer-Encoding: chunke\xe4"), 501),
        (head("Transfer-Encoding:"), 501),
        (b"PRI * HTTP/2.0\r\n", 505),
        (head(request_line="GET / HTTP/2.0"), 505),
        (head(request_line="GET / HTTP/1.2"), 505),
    ],
)
def test_what_is_too_much_or_not_offered_gets_its_own_status(block, status):
    assert refusal(block).status == status


@pytest.mark.parametrize("coding", ["chunked", "Chunked", "CHUNKED", " \t chunked \t "])
def test_the_one_coding_is_known_in_any_case(coding):
    assert parse_request_head(head(f"Transfer-Encoding:{coding}")).content_length is None


@pytest.mark.parametrize(
    "line", ["Transfer_Encoding: chunked", "X-Transfer-Encoding: chunked", "Content_Length: 3"]
)
def test_a_header_that_only_looks_like_one_of_framing_is_none(line):
    assert parse_request_head(head(line)).content_length == 0


def test_as_many_headers_as_allowed_are_read():
    assert parse_request_head(head(*["X: y"] * (MAX_HEADERS - 1))).headers == {}


# --- against llhttp ---------------------------------------------------------------------------


class Reading:
    """What llhttp makes of the same bytes."""

    def __init__(self, block: bytes) -> None:
        self.url, self.headers, self.is_complete = b"", [], False
        parser = httptools.HttpRequestParser(self)
        with contextlib.suppress(httptools.HttpParserUpgrade):
            parser.feed_data(block + b"\r\n")
        self.method, self.version = parser.get_method().decode(), parser.get_http_version()

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.decode("latin-1").lower(), value.decode("latin-1").strip(" \t")))

    def on_headers_complete(self) -> None:
        self.is_complete = True


pieces = st.sampled_from(
    [
        *("GET", "POST", " ", "  ", "/", "/a?b", "*", "https://h/", "HTTP/1.1", "HTTP/1.0", "\r\n"),
        *(
            "\r",
            "\n",
            "\t",
            ":",
            "Host: h",
            "Content-Length: ",
            "3",
            "0",
            ",",
            "+",
            "chunked",
            "\0",
        ),
        *(
            "Transfer-Encoding: ",
            "Accept: a",
            "Connection: close",
            "Authorization: Basic YTpi",
            "é",
        ),
    ]
)
almost_heads = st.lists(pieces, max_size=12).map(
    lambda chosen: ("GET / HTTP/1.1\r\nHost: h\r\n" + "".join(chosen) + "\r\n").encode("latin-1")
)
anything = st.lists(pieces, max_size=24).map(lambda chosen: "".join(chosen).encode("latin-1"))


@given(st.one_of(almost_heads, anything, st.binary(max_size=60)))
@example(head("Accept: a \x80\xff"))
def test_what_we_accept_llhttp_reads_the_same_way(block):
    try:
        read = parse_request_head(block)
    except RequestRefused:
        return
    other = Reading(block)
    assert other.is_complete
    assert other.method == read.method
    ours = read.path + (f"?{read.query}" if read.query else "")
    assert other.url.decode().rstrip("?").endswith(ours.rstrip("?"))
    for name, value in read.headers.items():
        assert value == ", ".join(v for n, v in other.headers if n == name)
    length = [value for name, value in other.headers if name == "content-length"]
    assert read.content_length == (int(length[0]) if length else read.content_length)
