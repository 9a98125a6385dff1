"""What the console says when the HSM refuses, is busy, or answers what someone hostile wrote."""

import json
from ipaddress import ip_address

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from playwright.sync_api import Route, expect

from tests.console.conftest import Console
from tests.support.authority import AUTHORITY, Authority
from tests.support.server import Server

SHORT = "<img src=x onerror=alert(1)>"
HOSTILE = """<img src=x onerror="document.title='taken'"><script>document.title='taken'</script>"""


def is_untouched(console: Console) -> bool:
    """Whether no text of the server has become a part of the page."""
    has_parts = console.page.locator("main img, main script").count()
    return has_parts == 0 and "taken" not in console.page.title()


@pytest.mark.parametrize("content", [b"no certificate: %b", b""])
def test_a_text_of_the_server_is_never_a_part_of_the_page(
    signed_in: Console, server: Server, content: bytes
) -> None:
    key_id = "bytes" if content else "certificate"
    key = {"id": key_id, "type": "EC_P256", "mechanisms": ["ECDSA_Signature"], "label": SHORT}
    answer = server.request("POST", "/keys/generate", user="admin", json=key)
    assert answer.status == 201, answer
    certificate = content % HOSTILE.encode() if content else hostile_certificate()
    headers = {"Content-Type": "application/octet-stream"}
    path = f"/keys/{key_id}/cert"
    assert (
        server.request("PUT", path, user="admin", body=certificate, headers=headers).status == 201
    )
    signed_in.open("keys")
    signed_in.says(SHORT)
    signed_in.open(f"key/{key_id}")
    signed_in.says(SHORT)
    signed_in.unfold("Certificate")
    signed_in.says("bytes that are not X.509" if content else f"CN={SHORT}")
    signed_in.says("bytes that are not X.509" if content else f"name.{SHORT}, 2001:db8::1")
    assert is_untouched(signed_in)


def hostile_certificate() -> bytes:
    address = x509.IPAddress(ip_address("2001:db8::1"))
    names = x509.SubjectAlternativeName([x509.DNSName(f"name.{SHORT}"), address])
    authority = Authority(SHORT, extensions=(*AUTHORITY, names))
    return authority.certificate.public_bytes(Encoding.PEM)


def test_a_name_and_a_reason_are_texts(signed_in: Console, server: Server) -> None:
    passphrase = server.passphrases["hostile"] = "hostilePassphrase"
    user = {"realName": HOSTILE, "role": "Operator", "passphrase": passphrase}
    assert server.request("PUT", "/users/hostile", user="admin", json=user).status == 201
    key = {"id": "asked", "type": "EC_P256", "mechanisms": ["ECDSA_Signature"]}
    assert server.request("POST", "/keys/generate", user="admin", json=key).status == 201
    rule = {"required": 1, "approvers": ["operator"], "validSeconds": 600, "uses": 1}
    policy = {"approvals": rule}
    assert server.request("PUT", "/keys/asked/policy", user="admin", json=policy).status == 204
    reason = {"reason": HOSTILE}
    asked = server.request("POST", "/keys/asked/approvals", user="hostile", json=reason)
    assert asked.status == 201
    signed_in.open("users")
    signed_in.unfold("hostile")
    signed_in.says(HOSTILE)
    assert is_untouched(signed_in)
    signed_in.open("approvals")
    signed_in.says(HOSTILE)
    assert is_untouched(signed_in)


def test_an_error_that_repeats_what_was_sent_is_a_text(signed_in: Console) -> None:
    signed_in.expected_errors += ["400"]
    signed_in.open("api")
    signed_in.page.locator("summary", has_text="POST /keys/generate").click()
    form = signed_in.page.get_by_role("form", name="Try POST /keys/generate")
    wanted = {"id": "tried", "type": HOSTILE, "mechanisms": ["ECDSA_Signature"]}
    form.locator("textarea").fill(json.dumps(wanted))
    signed_in.press("Try POST /keys/generate", "POST it")
    expect(form.get_by_role("alert")).to_be_visible()
    assert is_untouched(signed_in)
    form.locator("textarea").fill(json.dumps({**wanted, "type": "EC_P256"}))
    signed_in.press("Try POST /keys/generate", "POST it")
    expect(form).to_contain_text("201")


def test_each_method_is_tried_from_the_description(signed_in: Console, server: Server) -> None:
    key = {"id": "tagged", "type": "EC_P256", "mechanisms": ["ECDSA_Signature"]}
    assert server.request("POST", "/keys/generate", user="admin", json=key).status == 201
    signed_in.open("api")
    for method in ("PUT", "DELETE"):
        name = f"{method} /keys/{{key_id}}/restrictions/tags/{{tag}}"
        signed_in.page.locator("summary", has_text=name).click()
        form = signed_in.page.get_by_role("form", name=f"Try {name}")
        form.locator("[name=path-key_id]").fill("tagged")
        form.locator("[name=path-tag]").fill("blue")
        form.get_by_role("button", name=f"{method} it").click()
        expect(form).to_contain_text("204")
        shown = server.request("GET", "/keys/tagged", user="admin").json()
        assert shown["restrictions"] == ({"tags": ["blue"]} if method == "PUT" else {})


def test_a_hostile_refusal_is_a_text_wherever_it_is_shown(signed_in: Console) -> None:
    signed_in.expected_errors += ["400"]
    refuse(signed_in, "**/api/v1/users", 400, json.dumps({"message": HOSTILE}))
    refuse(signed_in, "**/api/v1/namespaces", 400, HOSTILE)
    for path in ("users", "namespaces"):
        signed_in.open(path)
        signed_in.says(HOSTILE)
        assert is_untouched(signed_in)


def test_an_hsm_that_is_busy_is_asked_again_later(signed_in: Console) -> None:
    signed_in.expected_errors += ["503"]
    message = '{"message": "Too much work waits; try again."}'
    refuse(signed_in, "**/keys?*", 503, message, {"Retry-After": "2"})
    signed_in.open("keys")
    signed_in.says("Too much work waits; try again. Try again in 2 s.")
    signed_in.page.unroute("**/keys?*")
    signed_in.press("Filter keys", "Show")
    expect(signed_in.page.get_by_role("table")).to_be_visible()


def test_an_answer_that_is_no_json_is_said(signed_in: Console) -> None:
    signed_in.page.route("**/api/v1/namespaces", lambda route: route.fulfill(body="no JSON"))
    signed_in.open("namespaces")
    expect(signed_in.page.get_by_role("alert")).to_be_visible()


def refuse(
    console: Console, url: str, status: int, body: str, headers: dict[str, str] | None = None
) -> None:
    """Have the requests to an address refused."""

    def answer(route: Route) -> None:
        route.fulfill(status=status, body=body, headers=headers)

    console.page.route(url, answer)
