"""A certificate for loopback, made at run time."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_REQUEST = (
    *("openssl", "req", "-x509", "-nodes", "-days", "2", "-subj", "/CN=localhost"),
    *("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
)
_EXTENSIONS = (
    "subjectAltName=IP:127.0.0.1,DNS:localhost",
    "keyUsage=critical,digitalSignature,keyCertSign",
    "extendedKeyUsage=serverAuth",
)


def server_context(folder: Path) -> tuple[ssl.SSLContext, Path]:
    """A server's context, and the file a client must trust. RuntimeError without the `openssl` program."""
    if shutil.which("openssl") is None:
        raise RuntimeError("TLS needs the openssl program")
    key, certificate = folder / "key.pem", folder / "cert.pem"
    extensions = [argument for extension in _EXTENSIONS for argument in ("-addext", extension)]
    command = [*_REQUEST, *extensions, "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context, certificate
