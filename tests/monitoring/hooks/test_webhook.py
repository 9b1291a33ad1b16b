"""A webhook against a real receiver: signed, tried again, bounded, silent."""

from __future__ import annotations

import json
import logging
import socket
import ssl
import time
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.monitoring.hooks.receiver import SECRET, drip, event_of, flood, long_line, receiving

from inprocml.monitoring import DriftEvent, Webhook
from inprocml.monitoring.hooks import verify
from inprocml.monitoring.hooks.signature import as_secret, sign

QUICK = {"secret": SECRET, "timeout": 1.0, "pauses": (0.01, 0.01)}


def test_the_event_arrives_signed_and_the_receiver_can_tell():
    with receiving() as server:
        hook = Webhook(server.url, **QUICK)
        hook(event_of())
        path, headers, body = server.heard[0]
    assert (hook.delivered, hook.failed) == (1, 0)
    assert path == "/hook?team=ml"
    assert headers["X-Inprocml-Event"] == "0f3a-opened"
    assert headers["Content-Type"] == "application/json"
    assert DriftEvent.from_dict(json.loads(body)) == event_of()
    now = time.time()
    assert verify(headers, body, SECRET, now)
    assert verify({name.upper(): value for name, value in headers.items()}, body, SECRET, now)
    assert not verify(headers, body + b" ", SECRET, now)
    assert not verify(headers, body, SECRET + "x", now)
    assert not verify(headers, body, SECRET, now + 301)
    assert not verify(headers | {"X-Inprocml-Timestamp": str(int(now) - 1)}, body, SECRET, now)


@given(
    st.dictionaries(
        st.sampled_from(["X-Inprocml-Timestamp", "x-inprocml-signature"]) | st.text(max_size=5),
        st.text(max_size=30) | st.just("1000") | st.just("v1=" + "0" * 64),
    ),
    st.binary(max_size=20),
)
def test_whatever_a_request_holds_is_refused_without_an_error(headers, body):
    assert not verify(headers, body, SECRET, 1000.0)


@given(st.binary(max_size=99), st.integers(0, 10**11), st.floats(-300, 300))
def test_what_was_signed_in_time_is_verified(body, at, late):
    headers = {
        "X-Inprocml-Timestamp": str(at),
        "X-Inprocml-Signature": "v1=00, " + sign(body, as_secret(SECRET), at),
    }
    assert verify(headers, body, SECRET, at + late, tolerance=301)


@pytest.mark.parametrize(
    ("answers", "attempts", "delivered"),
    [
        ((500, 503, 200), 3, 1),
        ((429, 204), 2, 1),
        ((500, 500, 500), 3, 0),
        ((404,), 1, 0),
        ((302,), 1, 0),
        ((flood,), 1, 1),
        ((long_line, 200), 2, 1),
        ((drip, 200), 2, 1),
    ],
)
def test_an_answer_is_judged_by_its_first_line(answers, attempts, delivered):
    with receiving(*answers) as server:
        hook = Webhook(server.url, **QUICK)
        hook(event_of())
        assert [path for path, _, _ in server.heard] == ["/hook?team=ml"] * attempts  # never elsewhere
    assert (hook.delivered, hook.failed) == (delivered, 1 - delivered)


def test_a_receiver_that_is_down_costs_a_count_and_one_line_without_secrets(caplog):
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    hook = Webhook(f"http://127.0.0.1:{port}/token-abc", **QUICK)
    with caplog.at_level(logging.DEBUG):
        for number in range(3):
            hook(event_of(str(number)))
    assert hook.failed == 3
    assert len(caplog.records) == 1
    told = caplog.text + repr(hook) + str(vars(hook).keys())
    assert SECRET not in told
    assert "token-abc" not in told


def test_a_receiver_that_never_answers_is_given_up():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        hook = Webhook(f"http://localhost:{silent.getsockname()[1]}/", secret=SECRET, timeout=0.2, pauses=())
        hook(event_of())
    assert hook.failed == 1


@pytest.fixture
def certificate(tmp_path):
    """A key and a certificate for localhost that nobody has signed."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    now = datetime.now(UTC)
    built = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=True)
        .sign(key, hashes.SHA256())
    )
    form = serialization.Encoding.PEM
    private = key.private_bytes(form, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path = tmp_path / "both.pem"
    path.write_bytes(private + built.public_bytes(form))
    return path


def test_a_receiver_that_cannot_prove_who_it_is_gets_nothing(certificate, monkeypatch):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with receiving() as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        url = f"https://localhost:{server.server_port}/hook"
        stranger = Webhook(url, **QUICK)
        stranger(event_of())
        assert (stranger.failed, server.heard) == (1, [])
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        known = Webhook(url, **QUICK)
        known(event_of())
        assert (known.delivered, len(server.heard)) == (1, 1)


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org/x",
        "ftp://example.org",
        "https://",
        "https://user:pw@example.org/",
        "https://example.org/a\r\nHost: b",
        "https://example.org:99999/",
        "https://exämple.org/",
        "https://example.org/#there",
    ],
)
def test_a_url_that_cannot_be_one_is_refused_and_not_repeated(url):
    with pytest.raises(ValueError, match="url") as raised:
        Webhook(url, secret=SECRET)
    assert "pw" not in str(raised.value)


def test_a_secret_must_be_one():
    with pytest.raises(ValueError, match="16") as raised:
        Webhook("https://example.org", secret="short-one")
    assert "short-one" not in str(raised.value)
    with pytest.raises(TypeError, match="secret"):
        Webhook("https://example.org", secret=None)
    with pytest.raises(ValueError, match="timeout"):
        Webhook("https://example.org", secret=SECRET, timeout=0)
    assert "example.org" in repr(Webhook("http://example.org", secret=SECRET, allow_http=True))
