"""T10: a policy is the host's; no way to strip, exchange, forge or downgrade a signature gets past it."""

from __future__ import annotations

import base64
import json
import os
import shutil
import stat
import subprocess
import sys

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.bundle.kit import forge

from inprocml import Bundle, Corrupt, PackError, Unsupported, Untrusted
from inprocml.bundle import Policy
from inprocml.bundle.signatures import DOMAIN, read_signatures, spell_signatures
from inprocml.bundle.signing import new_key, save_key, sign, verify
from inprocml.schema.canonical import canonical

PEM, KEY = new_key()
OTHER_PEM, OTHER = new_key()
STRICT = Policy(require_signature=True, trusted_keys=[KEY])
LENIENT = Policy(trusted_keys=[KEY])


@pytest.fixture
def folder(store):
    return store / "1"


@pytest.fixture(params=["folder", "single file"])
def signed(request, folder, tmp_path):
    path = folder if request.param == "folder" else Bundle.open(folder).save(tmp_path / "x.inprocml")
    assert sign(path, PEM) == KEY
    return path


def test_a_signature_by_a_trusted_key_is_told(signed):
    assert Bundle.open(signed, policy=STRICT).signed_by == (KEY,)
    assert Bundle.open(signed, policy=LENIENT).signed_by == (KEY,)
    assert Bundle.open(signed).signed_by == ()  # nobody was said to be trusted
    assert KEY in Bundle.open(signed, policy=STRICT)._repr_html_()
    assert verify(signed) == verify(signed, policy=STRICT) == (KEY,)


def test_signing_leaves_the_bundle_s_digest_and_nothing_else_behind(signed, folder):
    unsigned = Bundle.open(folder).digest
    assert Bundle.open(signed).digest == unsigned
    assert not [path for path in (signed.parent, folder.parent) if list(path.glob(".tmp-*"))]
    assert sign(signed, PEM) == KEY  # again: its own signature is replaced, and Ed25519 gives the same
    assert verify(signed) == (KEY,)


def test_signatures_travel_with_the_bundle(signed, tmp_path):
    single = Bundle.open(signed).save(tmp_path / "y.inprocml")
    again = Bundle.open(single, policy=STRICT).save(tmp_path / "y")
    assert Bundle.open(again, policy=STRICT).signed_by == (KEY,)


def test_several_keys_may_sign(signed):
    sign(signed, OTHER_PEM)
    both = Policy(require_signature=True, trusted_keys=[OTHER, KEY])
    assert Bundle.open(signed, policy=both).signed_by == (OTHER, KEY)
    assert Bundle.open(signed, policy=STRICT).signed_by == (KEY,)
    for _ in range(14):
        sign(signed, new_key()[0])
    assert len(verify(signed)) == 16
    with pytest.raises(PackError, match="16 signatures are the most"):
        sign(signed, new_key()[0])


def test_an_unsigned_bundle_is_refused_where_a_signature_is_required(folder):
    assert Bundle.open(folder, policy=LENIENT).signed_by == ()
    with pytest.raises(Untrusted, match=r"not signed, and the policy requires.*Sign it"):
        Bundle.open(folder, policy=STRICT)
    with pytest.raises(Untrusted):
        verify(folder, policy=STRICT)


def test_a_stripped_signature_is_missed(folder):
    sign(folder, PEM)
    (folder / "signature.json").unlink()
    with pytest.raises(Untrusted, match="not signed"):
        Bundle.open(folder, policy=STRICT)


def test_a_bundle_signed_anew_by_a_stranger_is_refused(signed, folder):
    if signed == folder:
        (folder / "signature.json").unlink()
    else:
        signed.unlink()
        (folder.parent / "copy").mkdir()
        Bundle.open(folder).save(signed)
    sign(signed, OTHER_PEM)
    with pytest.raises(Untrusted, match=r"signed only by ed25519:.*trust its key"):
        Bundle.open(signed, policy=STRICT)


def test_a_signature_does_not_fit_another_bundle(folder, add_version):
    add_version()
    other = folder.parent / "2"
    sign(folder, PEM)
    shutil.copy(folder / "signature.json", other)
    for policy in (STRICT, LENIENT):
        with pytest.raises(Untrusted, match=f"signature by {KEY.replace('+', '.')} is not for this manifest"):
            Bundle.open(other, policy=policy)
    with pytest.raises(Untrusted, match="is not for this manifest"):
        verify(other)


def test_the_same_model_under_another_version_is_another_bundle(folder):
    sign(folder, PEM)
    forge(folder, lambda manifest: manifest.update(version="2"))
    assert Bundle.open(folder).version == "2"
    with pytest.raises(Untrusted, match="not for this manifest"):
        Bundle.open(folder, policy=LENIENT)


@pytest.mark.parametrize("name", ["transform_json", "golden_json", "baseline_json", "card_md", "model_onnx"])
def test_files_forged_under_right_digests_are_refused(folder, name):
    sign(folder, PEM)
    content = (folder / name.replace("_", ".")).read_bytes()
    forge(folder, **{name: content + b"\n"})
    with pytest.raises(Untrusted, match="not for this manifest"):
        Bundle.open(folder, policy=STRICT)


def test_files_changed_under_a_signature_are_corrupt(folder):
    sign(folder, PEM)
    with (folder / "card.md").open("ab") as stream:
        stream.write(b" ")
    with pytest.raises(Corrupt, match=r"card\.md"):
        Bundle.open(folder, policy=STRICT)
    with pytest.raises(Corrupt, match=r"card\.md"):
        verify(folder, policy=STRICT)
    with pytest.raises(Corrupt, match=r"card\.md"):
        sign(folder, OTHER_PEM)


def test_the_policy_is_asked_before_the_model_is_read(folder, monkeypatch):
    (folder / "model.onnx").write_bytes(b"not even read")
    with pytest.raises(Untrusted, match="not signed"):
        Bundle.open(folder, policy=STRICT)


@given(place=st.integers(0, 10_000), bit=st.integers(0, 7))
@settings(max_examples=150)
def test_no_bit_of_the_signature_file_can_be_flipped(tmp_path_factory, _packed, place, bit):
    folder = tmp_path_factory.mktemp("flip") / "1"
    shutil.copytree(_packed / "1", folder)
    sign(folder, PEM)
    content = bytearray((folder / "signature.json").read_bytes())
    content[place % len(content)] ^= 1 << bit
    (folder / "signature.json").write_bytes(content)
    with pytest.raises((Untrusted, Corrupt, Unsupported)):
        Bundle.open(folder, policy=STRICT)


def entry(key=KEY, signature=None):
    return {"key": key, "signature": base64.b64encode(signature or bytes(64)).decode()}


def document(*entries, **changes):
    return canonical(
        {"format": "inprocml-signature", "format_version": 1, "signatures": list(entries)} | changes
    )


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"\x80\x04]\x94.",
        b"[" * 60_000,
        document(),
        document(entry(), entry()),
        document(entry(OTHER), entry(KEY)) if OTHER > KEY else document(entry(KEY), entry(OTHER)),
        document(*[entry() for _ in range(17)]),
        document(entry(), format="inprocml-bundle"),
        document(entry(), trusted_keys=[OTHER]),
        document(entry(), require_signature=False),
        document(entry(), format_version=0),
        document(entry(), format_version="1"),
        document(entry("ed25519:")),
        document(entry("rsa:" + KEY)),
        document(entry(KEY[:-1])),
        document(entry(KEY.rstrip("="))),
        document(entry(signature=bytes(63))),
        document(entry(signature=bytes(65))),
        document({"key": KEY, "signature": None}),
        document({"key": KEY}),
        document(entry()).replace(b"\n", b"\r\n"),
        document(entry()) + b" ",
        document(entry()).replace(b'"key"', b'"key": "x", "key"'),
    ],
)
def test_what_is_no_signature_file_is_refused_whatever_the_policy(folder, content):
    (folder / "signature.json").write_bytes(content)
    for policy in (None, LENIENT, STRICT):
        with pytest.raises(Corrupt, match=r"signature\.json"):
            Bundle.open(folder, policy=policy)
    with pytest.raises(Corrupt, match=r"signature\.json"):
        sign(folder, PEM)


def test_a_newer_signature_file_asks_for_an_upgrade(folder):
    (folder / "signature.json").write_bytes(document(entry(), format_version=2))
    with pytest.raises(Unsupported, match="signature format 2"):
        Bundle.open(folder)


def test_the_signature_file_is_capped_and_no_link(folder, tmp_path):
    (folder / "signature.json").write_bytes(bytes(65537))
    with pytest.raises(Corrupt, match=r"signature\.json: 65537 bytes, more than the 65536"):
        Bundle.open(folder)
    (folder / "signature.json").unlink()
    (tmp_path / "signature.json").write_bytes(document(entry()))
    (folder / "signature.json").symlink_to(tmp_path / "signature.json")
    with pytest.raises(Untrusted, match="symbolic link"):
        Bundle.open(folder)


def test_a_signature_made_for_something_else_says_nothing_of_a_bundle(folder):
    """The same key, the same bytes, without the prefix that says what is being signed."""
    key = serialization.load_pem_private_key(PEM, None)
    assert isinstance(key, Ed25519PrivateKey)
    manifest = (folder / "manifest.json").read_bytes()
    (folder / "signature.json").write_bytes(spell_signatures({KEY: key.sign(manifest)}))
    with pytest.raises(Untrusted, match="not for this manifest"):
        Bundle.open(folder, policy=LENIENT)
    (folder / "signature.json").write_bytes(spell_signatures({KEY: key.sign(DOMAIN + manifest)}))
    assert Bundle.open(folder, policy=STRICT).signed_by == (KEY,)


def test_a_downgraded_format_is_not_what_was_signed(folder):
    sign(folder, PEM)
    (folder / "manifest.json").write_bytes(
        (folder / "manifest.json").read_bytes().replace(b'"format_version": 1', b'"format_version": 0')
    )
    with pytest.raises(Corrupt, match="digest"):
        Bundle.open(folder, policy=STRICT)
    forge(folder, lambda manifest: manifest.update(format_version=0))
    with pytest.raises((Corrupt, Untrusted)):
        Bundle.open(folder, policy=STRICT)


def test_a_pinned_digest_holds_beside_a_signature(folder, add_version):
    """A rollback: an older bundle, rightly signed, is not the one that was asked for."""
    add_version()
    for name in ("1", "2"):
        sign(folder.parent / name, PEM)
    newer = Bundle.open(folder.parent / "2", policy=STRICT).digest
    with pytest.raises(Corrupt, match="asked for sha256"):
        Bundle.open(folder, digest=newer, policy=STRICT)


def test_the_signature_can_be_checked_with_nothing_of_ours(folder):
    sign(folder, PEM)
    (told,) = json.loads((folder / "signature.json").read_text())["signatures"]
    public = Ed25519PublicKey.from_public_bytes(base64.b64decode(told["key"].removeprefix("ed25519:")))
    message = b"inprocml-bundle-signature-v1\n" + (folder / "manifest.json").read_bytes()
    public.verify(base64.b64decode(told["signature"]), message)


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"trusted_keys": KEY}, TypeError, "a list of keys"),
        ({"trusted_keys": [b"x"]}, TypeError, "a public key is text"),
        ({"trusted_keys": ["ed25519:AAAA"]}, ValueError, "is no public key"),
        ({"trusted_keys": [KEY.removeprefix("ed25519:")]}, ValueError, "is no public key"),
        ({"trusted_keys": [KEY + "\n"]}, ValueError, "is no public key"),
        ({"trusted_keys": [PEM.decode()]}, ValueError, "is no public key"),
        ({"require_signature": True}, ValueError, "whose signature"),
        ({"require_signature": "no"}, TypeError, "True or False"),
        ({"allow_loops": 1}, TypeError, "allow_loops must be True or False"),
    ],
)
def test_a_policy_is_judged_where_it_is_written(arguments, error, match):
    with pytest.raises(error, match=match):
        Policy(**arguments)


def test_a_private_key_never_stands_in_a_message():
    with pytest.raises(ValueError, match="is no public key") as caught:
        Policy(trusted_keys=[PEM.decode()])
    assert PEM.splitlines()[1].decode()[:4] not in str(caught.value)


def test_a_policy_does_not_change():
    with pytest.raises(AttributeError):
        STRICT.require_signature = False
    assert Policy(trusted_keys=[KEY, KEY, OTHER]).trusted_keys == (KEY, OTHER)


def test_private_keys_may_have_a_password_and_are_their_owner_s(folder, tmp_path):
    pem, key = new_key(password="a long one")
    save_key(tmp_path / "key.pem", pem)
    assert stat.S_IMODE((tmp_path / "key.pem").stat().st_mode) == 0o600
    with pytest.raises(PackError, match="already exists"):
        save_key(tmp_path / "key.pem", PEM)
    kept = (tmp_path / "key.pem").read_bytes()
    assert b"ENCRYPTED" in kept
    for wrong in (None, "another one", ""):
        with pytest.raises(PackError, match="password is missing or wrong"):
            sign(folder, kept, password=wrong)
    assert sign(folder, kept, password="a long one") == key
    with pytest.raises(ValueError, match="empty"):
        new_key(password="")


def test_other_keys_are_refused(folder):
    curve = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    with pytest.raises(PackError, match="not Ed25519"):
        sign(folder, curve)
    for junk in (b"", b"hello", KEY.encode()):
        with pytest.raises(PackError, match="cannot be read"):
            sign(folder, junk)
    with pytest.raises(PackError, match="password is missing or wrong"):  # a password for a key without one
        sign(folder, PEM, password="x")
    assert not (folder / "signature.json").exists()


def test_a_folder_that_cannot_be_written_stays_as_it_is(folder, monkeypatch):
    sign(folder, PEM)
    before = (folder / "signature.json").read_bytes()

    def refuse(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(PackError, match="No space left"):
        sign(folder, OTHER_PEM)
    monkeypatch.undo()
    assert (folder / "signature.json").read_bytes() == before
    assert Bundle.open(folder, policy=STRICT).signed_by == (KEY,)
    assert not list(folder.parent.glob(".tmp-*"))


def test_a_link_to_a_bundle_stays_a_link(signed, tmp_path):
    link = tmp_path / f"link{signed.suffix}"
    link.symlink_to(signed)
    sign(link, OTHER_PEM)
    assert link.is_symlink()
    assert set(verify(signed)) == {KEY, OTHER}


def test_signatures_are_spelt_one_way():
    content = spell_signatures({OTHER: bytes(64), KEY: bytes(64)})
    assert list(read_signatures(content, where="x")) == sorted([KEY, OTHER])


@pytest.mark.parametrize("call", ["new_key()", "sign({folder!r}, b'')", "verify({folder!r})"])
def test_without_the_library_the_error_says_what_to_install(folder, call):
    sign(folder, PEM)
    code = (
        "import sys; sys.modules['cryptography'] = None\n"
        "import inprocml\nfrom inprocml.bundle.signing import *\n"
        f"inprocml.Bundle.open({str(folder)!r})\n"  # no policy: nothing to verify, and nothing needed
        f"try:\n    {call.format(folder=str(folder))}\n"
        "except inprocml.BackendMissing as error:\n    print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=50
    )
    assert done.stdout == "signatures need the cryptography package: pip install 'inprocml[sign]'\n"


def test_opening_without_a_policy_loads_no_cryptography(folder):
    sign(folder, PEM)
    code = (
        f"import sys, inprocml; inprocml.Bundle.open({str(folder)!r}); print('cryptography' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=50
    )
    assert done.stdout == "False\n"
