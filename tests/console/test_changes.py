"""What an administrator changes in the console: settings, keys, users, namespaces."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from playwright.sync_api import expect

from tests.console.conftest import Console
from tests.support.authority import Authority
from tests.support.server import Server


def test_settings_are_changed(signed_in: Console, server: Server) -> None:
    signed_in.open("settings")
    for title in ("Time", "Unattended boot", "Logging", "Backup passphrase"):
        signed_in.unfold(title)
    signed_in.press("Time", "Set it to this browser's time")
    signed_in.says("The time is set.")
    form = signed_in.page.get_by_role("form", name="Unattended boot", exact=True)
    form.locator("[name=status]").select_option("on")
    signed_in.press("Unattended boot", "Set")
    signed_in.says("Unattended boot is on.")
    signed_in.fill("Logging", ipAddress="127.0.0.1", port="5514")
    signed_in.press("Logging", "Set")
    signed_in.says("Logging is set.")
    signed_in.fill("Backup passphrase", newPassphrase="0123456789", again="0123456789")
    signed_in.press("Backup passphrase", "Change")
    signed_in.says("The passphrase is changed.")
    assert server.request("GET", "/config/unattended-boot", user="admin").json()["status"] == "on"
    assert server.request("GET", "/config/logging", user="admin").json()["port"] == 5514


def test_a_setting_in_json_is_shown_and_set(signed_in: Console, server: Server) -> None:
    signed_in.open("settings")
    signed_in.unfold("Network")
    text = signed_in.page.get_by_role("form", name="/config/network").locator("textarea")
    expect(text).not_to_be_empty()
    now = server.request("GET", "/config/network", user="admin").json()
    assert json.loads(text.input_value()) == now
    text.fill("{")
    signed_in.press("/config/network", "Set")
    signed_in.says("Not JSON:")
    text.fill(json.dumps({**now, "gateway": "192.0.2.1"}))
    signed_in.press("/config/network", "Set")
    signed_in.says("It is set.")
    changed = server.request("GET", "/config/network", user="admin").json()
    assert changed["gateway"] == "192.0.2.1"


@pytest.mark.parametrize(
    ("title", "path", "wanted"),
    [
        ("Time servers", "/config/ntp", {"ntpIP": "192.0.2.5"}),
        ("Journal", "/config/journal", {"uses": "each"}),
    ],
)
def test_time_servers_and_the_journal_are_set(
    signed_in: Console, server: Server, title: str, path: str, wanted: dict[str, str]
) -> None:
    signed_in.open("settings")
    signed_in.unfold(title)
    text = signed_in.page.get_by_role("form", name=path).locator("textarea")
    expect(text).not_to_be_empty()
    text.fill(json.dumps({**json.loads(text.input_value()), **wanted}))
    signed_in.press(path, "Set")
    signed_in.says("It is set.")
    assert wanted.items() <= server.request("GET", path, user="admin").json().items()


def test_tls_gets_a_certificate_of_an_authority_and_a_new_key(
    signed_in: Console, server: Server
) -> None:
    before = server.request("GET", "/config/tls/public.pem", user="admin").body
    authority = Authority("The authority")
    signed_in.open("settings")
    signed_in.unfold("TLS certificate")
    signed_in.fill("TLS signing request", commonName="hsm.example", names="hsm.example")
    signed_in.press("TLS signing request", "Make a signing request")
    request = signed_in.page.locator("pre", has_text="BEGIN CERTIFICATE REQUEST").inner_text()
    chain = authority.sign(request.encode()) + authority.pem
    signed_in.fill("Install a certificate", pem=chain.decode())
    signed_in.press("Install a certificate", "Install")
    signed_in.says("The certificate is installed.")
    assert server.request("GET", "/config/tls/cert.pem", user="admin").body == chain
    signed_in.press("New TLS key", "Make a new TLS key")
    signed_in.page.get_by_role("dialog").get_by_role("button", name="Make a new TLS key").click()
    signed_in.says("The HSM has a new, self-signed certificate.")
    assert server.request("GET", "/config/tls/public.pem", user="admin").body != before


@pytest.fixture
def key(signed_in: Console, server: Server) -> Console:
    """The page of the key `changing`, which is made anew."""
    server.request("DELETE", "/keys/changing", user="admin")
    wanted = {"id": "changing", "type": "EC_P256", "mechanisms": ["ECDSA_Signature"]}
    assert server.request("POST", "/keys/generate", user="admin", json=wanted).status == 201
    signed_in.expected_errors += ["404"]  # It has neither a certificate nor a policy.
    signed_in.open("key/changing")
    return signed_in


def test_a_key_gets_a_label_and_tags_and_moves(key: Console, server: Server) -> None:
    facts = key.page.locator("dl").first
    key.unfold("Change")
    key.fill("Label", label="for releases")
    key.press("Label", "Set the label")
    expect(facts).to_contain_text("for releases")
    key.unfold("Change")
    key.fill("Add a tag", tag="blue")
    key.press("Add a tag", "Add the tag")
    expect(facts).to_contain_text("blue")
    key.unfold("Change")
    key.page.get_by_role("button", name="Remove the tag blue").click()
    expect(facts).not_to_contain_text("blue")
    key.unfold("Change")
    key.fill("Move", newId="moved")
    key.press("Move", "Move the key")
    key.heading("Key moved")
    assert server.request("DELETE", "/keys/moved", user="admin").status == 204


def test_a_key_gets_a_policy(key: Console, server: Server) -> None:
    key.unfold("Policy")
    text = key.page.get_by_role("form", name="Set the policy").locator("textarea")
    expect(text).to_have_value("{}")
    text.fill('{"maxUses": 5}')
    key.press("Set the policy", "Set the policy")
    key.says("The policy is set.")
    assert server.request("GET", "/keys/changing/policy", user="admin").json()["maxUses"] == 5


def test_a_key_gets_a_request_and_a_certificate_in_words(key: Console, tmp_path: Path) -> None:
    key.unfold("Certificate signing request")
    key.fill("Certificate signing request", commonName="signer", names="a.example")
    key.press("Certificate signing request", "Make the request")
    key.says("BEGIN CERTIFICATE REQUEST")
    file = tmp_path / "certificate.pem"
    file.write_bytes(expired_certificate())
    key.unfold("Certificate")
    key.says("None is stored.")
    key.page.get_by_role("form", name="Store a certificate").locator("[name=file]").set_input_files(
        file
    )
    key.press("Store a certificate", "Store")
    key.says("It has expired 2")  # So many years ago.
    key.says("CN=expired")
    key.page.get_by_role("button", name="Remove the certificate").click()
    key.page.get_by_role("dialog").get_by_role("button", name="Remove").click()
    key.says("None is stored.")


def expired_certificate() -> bytes:
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "expired")])
    began = datetime(2001, 1, 1, tzinfo=UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(1)
        .not_valid_before(began)
        .not_valid_after(began + timedelta(days=1))
        .sign(private, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM)


def test_a_dropped_file_goes_into_the_form_below_it(signed_in: Console) -> None:
    signed_in.open("new-key")
    form = signed_in.page.get_by_role("form", name="Import a key")
    assert signed_in.drop("form[aria-label='Import a key'] button[type=submit]", b"x")
    assert form.locator("[name=file]").evaluate("one => one.files[0].name") == "dropped"
    assert signed_in.drop("header", b"x")  # The browser would leave the page for the file.


def test_a_namespace_is_made_limited_and_deleted(signed_in: Console, server: Server) -> None:
    signed_in.open("namespaces")
    signed_in.fill("New namespace", id="tenant")
    signed_in.press("New namespace", "Create")
    signed_in.unfold("tenant")
    signed_in.fill("Limits of tenant", keys="7")
    signed_in.press("Limits of tenant", "Set the limits")
    signed_in.says("The limits are set.")
    assert server.request("GET", "/namespaces/tenant/quota", user="admin").json()["keys"] == 7
    signed_in.press("Delete tenant", "Delete the namespace")
    dialog = signed_in.page.get_by_role("dialog")
    dialog.get_by_role("textbox").fill("tenant")
    dialog.get_by_role("button", name="Delete the namespace").click()
    signed_in.says("0 namespaces")


def test_a_user_gets_a_tag_and_a_passphrase_and_is_removed(
    signed_in: Console, server: Server
) -> None:
    server.add_user("short", "Operator")
    signed_in.open("users")
    signed_in.unfold("short")
    signed_in.fill("Passphrase of short", passphrase="anotherPassphrase", again="anotherPassphrase")
    signed_in.press("Passphrase of short", "Set the passphrase")
    signed_in.says("The passphrase is set.")
    own = server.request("GET", "/users/short", user="short", passphrase="anotherPassphrase")
    assert own.status == 200
    signed_in.fill("Add a tag to short", tag="blue")
    signed_in.press("Add a tag to short", "Add the tag")
    expect(signed_in.page.locator("details[open]")).to_have_count(0)
    signed_in.unfold("short")
    expect(signed_in.page.get_by_role("button", name="Remove the tag blue")).to_be_visible()
    signed_in.press("Remove short", "Remove the user")
    dialog = signed_in.page.get_by_role("dialog")
    dialog.get_by_role("textbox").fill("short")
    dialog.get_by_role("button", name="Remove the user").click()
    expect(signed_in.page.locator("summary").get_by_text("short", exact=True)).to_have_count(0)
    assert server.request("GET", "/users/short", user="admin").status == 404


def test_a_button_that_fails_says_why(signed_in: Console) -> None:
    signed_in.expected_errors += ["Failed to load resource"]
    signed_in.open("journal")
    signed_in.page.route("**/journal/key.pem", lambda route: route.abort())
    signed_in.page.get_by_role("button", name="Save key.pem").click()
    signed_in.says("The HSM cannot be reached.")
