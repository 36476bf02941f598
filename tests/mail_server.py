"""A mail server for the tests: aiosmtpd, which prints each message as a line of JSON.

    python3 tests/mail_server.py plain|starttls|implicit CERT KEY

It listens on a port of the system's choice, which is its first line. With TLS, ada must log in
with the password apple. Python's own email package parses what came.
"""
import asyncio
import base64
import email
import email.policy
import hashlib
import json
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult


class Printer:
    """Prints messages."""

    async def handle_DATA(self, server, session, envelope):
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        parts = [
            {
                "type": part.get_content_type(),
                "name": part.get_filename(),
                "cid": part["Content-ID"],
                "sha256": hashlib.sha256(part.get_payload(decode=True)).hexdigest(),
                "defects": [str(defect) for defect in part.defects],
            }
            for part in message.walk()
            if not part.is_multipart()
        ]
        text = message.get_body(("plain",))
        print(
            json.dumps(
                {
                    "from": envelope.mail_from,
                    "to": envelope.rcpt_tos,
                    "options": envelope.mail_options,
                    "login": bool(session.authenticated),
                    "content": base64.b64encode(envelope.content).decode(),
                    "subject": message["Subject"],
                    "sender": message["From"],
                    "date": message["Date"].datetime.isoformat(),
                    "text": text.get_content() if text else None,
                    "parts": parts,
                    "defects": [str(defect) for defect in message.defects],
                }
            ),
            flush=True,
        )
        return "250 2.0.0 printed"

    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("nobody@"):
            return "550 5.1.1 there is nobody"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 ok"


def authenticate(server, session, envelope, mechanism, data):
    """Lets ada in."""
    # aiosmtpd sends the reply.
    return AuthResult(success=(data.login, data.password) == (b"ada", b"apple"), handled=False)


async def main(mode, certificate, key):
    """Serves until the process is ended."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)

    def connection():
        options = {"hostname": "mail.example.org", "enable_SMTPUTF8": True, "decode_data": False}
        if mode == "starttls":
            options |= {"tls_context": context, "require_starttls": True}
        if mode != "plain":
            options |= {"authenticator": authenticate, "auth_required": True, "auth_require_tls": mode == "starttls"}
        return SMTP(Printer(), **options)

    secure = context if mode == "implicit" else None
    server = await asyncio.get_running_loop().create_server(connection, "127.0.0.1", 0, ssl=secure)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(main(*sys.argv[1:]))
