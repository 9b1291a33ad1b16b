"""A store in S3: moto's server and the s3fs client, both real, in a venv of their own (`make servers`)."""

from __future__ import annotations

import subprocess

import pytest

from tests.sources.servers import PYTHON, VENV, free_port, inside, needs_servers, process

pytestmark = [needs_servers, pytest.mark.server, pytest.mark.timeout(180)]

KEYS = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "hunter2", "AWS_DEFAULT_REGION": "us-east-1"}

UPLOAD = """
import sys, s3fs
endpoint, folder, place = sys.argv[1:]
files = s3fs.S3FileSystem(endpoint_url=endpoint)
files.mkdirs(place.partition("/")[0], exist_ok=True)
files.put(folder + "/", place + "/", recursive=True)
"""

BEGIN = """
import sys, json, pathlib
from inprocml import Bundle, BundleError
from inprocml.sources import Remote
from inprocml.testing import check_source
endpoint, cache = sys.argv[1:3]
source = Remote("s3://models/late", cache=cache, endpoint_url=endpoint)
"""

PROTOCOL = (
    BEGIN
    + """
check_source(source)
fetched = source.fetch("1")
assert Bundle.open(fetched.path).version == "1"
pinned = Remote("s3://models/late/1", cache=cache, endpoint_url=endpoint)
check_source(pinned)
assert Bundle.open(pinned.fetch("1").path).digest == Bundle.open(fetched.path).digest
print(*(version.name for version in source.versions()))
"""
)

REPLACED = (
    BEGIN
    + """
import s3fs
before = source.versions()[0].mark
assert source.versions()[0].mark == before
files = s3fs.S3FileSystem(endpoint_url=endpoint)
card = files.cat_file("models/late/1/card.md")
files.pipe_file("models/late/1/card.md", card.replace(b"e", b"E"))
assert source.versions()[0].mark != before
try:
    Bundle.open(source.fetch("1").path)
except BundleError as error:
    print(type(error).__name__)
files.pipe_file("models/late/1/card.md", card)
assert source.versions()[0].mark == before
print(Bundle.open(source.fetch("1").path).version)
"""
)

DOWN = (
    BEGIN
    + """
try:
    source.versions()
except BundleError as error:
    assert "hunter2" not in str(error) and "testing" not in str(error)
    assert error.__cause__ is None and error.__context__ is None
    print(error)
"""
)

FETCH = BEGIN + "print(Bundle.open(source.fetch('1').path).version)"


@pytest.fixture(scope="module")
def s3(tmp_path_factory):
    folder = tmp_path_factory.mktemp("s3")
    url = f"http://127.0.0.1:{(port := free_port())}"
    command = [str(VENV / "bin" / "moto_server"), "-H", "127.0.0.1", "-p", str(port)]
    with process(command, f"{url}/moto-api/", folder, **KEYS):
        yield url, folder / "server.log"


def test_a_store_in_s3_keeps_the_protocol(s3, store, add_version, tmp_path):
    add_version("10")
    inside(UPLOAD, s3[0], store, "models/late", **KEYS)
    assert inside(PROTOCOL, s3[0], tmp_path / "cache", **KEYS) == "1 10\n"


def test_an_object_replaced_changes_the_mark_and_is_refused(s3, store, tmp_path):
    inside(UPLOAD, s3[0], store, "models/late", **KEYS)
    assert inside(REPLACED, s3[0], tmp_path / "cache", **KEYS) == "Corrupt\n1\n"


def test_many_processes_download_from_s3_once(s3, store, tmp_path):
    inside(UPLOAD, s3[0], store, "models/late", **KEYS)
    before = gets(s3[1])
    import os

    environment = os.environ | KEYS | {"PYTHONPATH": "src"}
    command = [str(PYTHON), "-c", FETCH, s3[0], str(tmp_path / "cache")]
    crowd = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)
        for _ in range(4)
    ]
    told = [member.communicate(timeout=120) for member in crowd]
    assert [out.strip() for out, _ in told] == [b"1"] * 4, told
    assert gets(s3[1]) - before == 1


def gets(log):
    return sum("GET /models/late/1/model.onnx" in line for line in log.read_text().splitlines())


def test_s3_that_is_down_is_named_without_secrets(tmp_path):
    told = inside(DOWN, f"http://127.0.0.1:{free_port()}", tmp_path / "cache", **KEYS)
    assert told.startswith("s3://models/late cannot be read (")


def test_a_bucket_that_is_not_there_says_so(s3, tmp_path):
    script = DOWN.replace("s3://models/late", "s3://nowhere/late")
    assert inside(script, s3[0], tmp_path / "cache", **KEYS).startswith("s3://nowhere/late has no version")
