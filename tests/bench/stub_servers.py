"""Loopback stubs of AWS, GitHub and the response URL, over HTTPS: an empty account, and an organization that still
lists a pool's runners. A process of its own, so that it does not compete with the harness for a thread.

It prints one line of JSON for each call to its standard output, for the harness to count.
"""

from __future__ import annotations

import datetime
import ipaddress
import json
import re
import ssl
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock
from typing import ClassVar

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

POOL = "ghr-ci-Runners-0a1b2c3d4e"
# As many as the function deletes at once: beyond that it waits between deletions, as GitHub asks for.
N_RUNNERS = 8
TOKEN = "ghp_bench"

RUNNERS = [
    {
        "id": number,
        "name": f"github-runner-0a1b2c3d4e-{number:012x}",
        "os": "linux",
        "status": "offline",
        "busy": False,
        "labels": [{"id": 1, "name": name, "type": "custom"} for name in ("self-hosted", "Linux", "X64", POOL)],
        "version": "2.336.0",
    }
    for number in range(1, N_RUNNERS + 1)
]

# The response of each operation in an empty account.
NOTHING = {
    "DescribeTaskDefinition": (400, {"__type": "ClientException", "message": "Unable to describe task definition."}),
    "DescribeCapacityProviders": (200, {"capacityProviders": [], "failures": [{"arn": POOL, "reason": "MISSING"}]}),
    "DescribeClusters": (200, {"clusters": [], "failures": [{"arn": "build", "reason": "MISSING"}]}),
    "DescribeServices": (200, {"services": [], "failures": [{"arn": POOL, "reason": "MISSING"}]}),
    "DescribeTasks": (200, {"tasks": [], "failures": []}),
    "ListTasks": (200, {"taskArns": []}),
    "ListContainerInstances": (200, {"containerInstanceArns": []}),
    "ListTaskDefinitions": (200, {"taskDefinitionArns": []}),
    "ListTaskDefinitionFamilies": (200, {"families": []}),
    "DescribeAutoScalingGroups": (
        200,
        "<DescribeAutoScalingGroupsResponse xmlns='http://autoscaling.amazonaws.com/doc/2011-01-01/'>"
        "<DescribeAutoScalingGroupsResult><AutoScalingGroups/></DescribeAutoScalingGroupsResult>"
        "<ResponseMetadata><RequestId>bench</RequestId></ResponseMetadata></DescribeAutoScalingGroupsResponse>",
    ),
}


class StubServers(BaseHTTPRequestHandler):
    """AWS by POST to `/`, GitHub below `/api/v3`, CloudFormation responses by PUT."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    # The items of the state table, by their keys. Of the current request; its response clears them.
    items: ClassVar[dict[str, object]] = {}
    removed: ClassVar[set[int]] = set()
    printing: ClassVar[Lock] = Lock()

    def log_message(self, format: str, *args: object) -> None:
        """Standard error stays empty."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0)).decode()
        target = self.headers.get("x-amz-target")
        operation = target.split(".")[1] if target else re.findall(r"Action=(\w+)", body)[0]
        status, response = self.aws(operation, body)
        self.respond("aws", operation, status, response)

    def aws(self, operation: str, body: str) -> tuple[int, object]:
        """Items are kept, since the lock is one, and no other writer is there; apart from the token nothing exists."""
        request = json.loads(body) if body.startswith("{") else {}
        if operation == "GetParameter":
            name = request["Name"]
            if name != "/github-runner-pool/token":
                return 400, {"__type": "ParameterNotFound"}
            return 200, {"Parameter": {"Name": name, "Type": "SecureString", "Value": TOKEN, "Version": 1}}
        if operation == "PutItem":
            self.items[request["Item"]["key"]["S"]] = request["Item"]
            return 200, {}
        if operation == "GetItem":
            item = self.items.get(request["Key"]["key"]["S"])
            return 200, {"Item": item} if item else {}
        return NOTHING[operation]

    def do_GET(self) -> None:
        listed = [runner for runner in RUNNERS if runner["id"] not in self.removed]
        self.respond("github", "list", 200, {"total_count": len(listed), "runners": listed})

    def do_DELETE(self) -> None:
        self.removed.add(int(self.path.rsplit("/", 1)[1]))
        self.respond("github", "delete", 204, "")

    def do_PUT(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.removed.clear()
        self.items.clear()
        self.respond("response", body["Status"], 200, "", body.get("Reason", ""))

    def respond(self, remote: str, what: str, status: int, response: object, reason: str = "") -> None:
        body = response.encode() if isinstance(response, str) else json.dumps(response).encode()
        self.send_response(status)
        self.send_header("content-type", "text/xml" if body.startswith(b"<") else "application/x-amz-json-1.1")
        if status != 204:
            self.send_header("content-length", str(len(body)))
        self.end_headers()
        if status != 204:
            self.wfile.write(body)
        with self.printing:
            print(json.dumps({"remote": remote, "what": what, "status": status, "reason": reason}), flush=True)


def certificates(folder: Path) -> tuple[Path, Path]:
    """A certificate authority, and a certificate of it for this machine, made anew: the first file is to be trusted."""
    now = datetime.datetime.now(datetime.UTC)

    def made(
        name: str, issuer: x509.Name | None, signer: rsa.RSAPrivateKey | None
    ) -> tuple[x509.Certificate, rsa.RSAPrivateKey]:
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        certificate = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer or subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=2))
            .add_extension(x509.BasicConstraints(ca=signer is None, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .sign(signer or key, hashes.SHA256())
        )
        return certificate, key

    authority, authority_key = made("bench authority", None, None)
    leaf, leaf_key = made("localhost", authority.subject, authority_key)
    trusted, served = folder / "authority.pem", folder / "served.pem"
    pem = serialization.Encoding.PEM
    trusted.write_bytes(authority.public_bytes(pem))
    private = leaf_key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    served.write_bytes(private + leaf.public_bytes(pem))
    return trusted, served


def serve(certificate: Path) -> None:
    """Serves until its standard input ends."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), StubServers)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    context.set_alpn_protocols(["http/1.1"])
    # A handshake belongs into the connection's own thread, not into the one that accepts.
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    print(json.dumps({"port": server.server_address[1]}), flush=True)
    server.serve_forever()


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
