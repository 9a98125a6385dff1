import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystead.errors import InvalidInput
from keystead.model.peer_urls import MAX_PEER_URL_LENGTH, MAX_PEER_URLS, parse_peer_urls


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("https://192.0.2.2:2380", "https://192.0.2.2:2380"),
        ("https://hsm-2.example:1", "https://hsm-2.example:1"),
        ("https://HSM-2.Example:65535", "https://hsm-2.example:65535"),
        ("https://[2001:db8::2]:2380", "https://[2001:db8::2]:2380"),
        ("https://[2001:DB8:0:0::2]:2380", "https://[2001:db8::2]:2380"),
        ("https://localhost:2380", "https://localhost:2380"),
    ],
)
def test_host_and_port_are_a_url_of_a_member(text, url):
    assert parse_peer_urls([text]) == (url,)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "https://",
        "https://:2380",
        "https://192.0.2.2",
        "https://192.0.2.2:",
        "https://192.0.2.2:0",
        "https://192.0.2.2:02380",
        "https://192.0.2.2:65536",
        "https://192.0.2.2:2380/",
        "https://192.0.2.2:2380/path",
        "https://192.0.2.2:2380?query",
        "https://192.0.2.2:2380#part",
        "https://user@192.0.2.2:2380",
        "http://192.0.2.2:2380",
        "HTTPS://192.0.2.2:2380",
        "unix:///run/etcd:2380",
        " https://192.0.2.2:2380",
        "https://192.0.2.2:2380\n",
        "https://192.0.2.2:2380,https://192.0.2.3:2380",
        "https://192.0.2:2380",
        "https://192.0.2.256:2380",
        "https://2001:db8::2:2380",
        "https://[2001:db8::2:2380",
        "https://[192.0.2.2]:2380",
        "https://[fe80::1%eth0]:2380",
        "https://-hsm:2380",
        "https://hsm_2:2380",
        "https://hsm..example:2380",
        "https://hsm.example.:2380",
        "https://h\u00e4m:2380",
        "https://hsm:\u0662\u0663",
        "https://" + "a." * 130 + "example:2380",
        "https://" + "a" * MAX_PEER_URL_LENGTH + ":2380",
    ],
)
def test_anything_else_is_refused(text):
    with pytest.raises(InvalidInput):
        parse_peer_urls([text])


def test_a_member_has_a_url_and_not_too_many():
    urls = [f"https://192.0.2.2:{port}" for port in range(1, MAX_PEER_URLS + 2)]
    assert len(parse_peer_urls(urls[:-1])) == MAX_PEER_URLS
    for wrong in ([], urls):
        with pytest.raises(InvalidInput, match="1 to 8 URLs"):
            parse_peer_urls(wrong)


def test_the_same_url_twice_is_refused_however_it_is_written():
    with pytest.raises(InvalidInput, match="given twice"):
        parse_peer_urls(["https://hsm:2380", "https://HSM:2380"])
    with pytest.raises(InvalidInput, match="given twice"):
        parse_peer_urls(["https://[::1]:2380", "https://[0::1]:2380"])


@given(st.text())
def test_a_text_is_a_url_or_refused(text):
    try:
        (url,) = parse_peer_urls(["https://" + text])
    except InvalidInput:
        return
    assert parse_peer_urls([url]) == (url,)
