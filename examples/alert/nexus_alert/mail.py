"""Sending by SMTP: encrypted where the server can, and never a password over an open wire."""

from __future__ import annotations

import smtplib
import socket
from email.message import EmailMessage
from email.utils import formatdate

from nexus_alert import sockets
from nexus_alert.message import Message
from nexus_alert.post import FailedError, Send
from nexus_alert.settings import Mail


def sender(mail: Mail) -> Send:
    """Return what mails a message."""

    def send(message: Message, deadline: float) -> None:
        try:
            refused = _mailed(mail, _letter(mail, message), deadline)
        except smtplib.SMTPAuthenticationError as error:
            raise FailedError(f"refused the user or the password with {error.smtp_code}", True) from None
        except smtplib.SMTPResponseException as error:
            code = error.smtp_code
            raise FailedError(f"answered {code}", final=500 <= code < 600) from None
        except smtplib.SMTPRecipientsRefused as error:
            refused = len(error.recipients)
        except smtplib.SMTPServerDisconnected:
            raise FailedError("hung up, or answered too slowly") from None
        except smtplib.SMTPNotSupportedError:
            raise FailedError("offers no login", final=True) from None
        except smtplib.SMTPException as error:
            raise FailedError(type(error).__name__, final=True) from None
        if refused:
            # another try would reach the others twice
            raise FailedError(f"refused {refused} of {len(mail.to)} recipients", final=True)

    return send


def _mailed(mail: Mail, letter: EmailMessage, deadline: float) -> int:
    server = _Server(mail, deadline)
    try:
        server.ehlo_or_helo_if_needed()
        if server.has_extn("starttls"):
            server.starttls(context=sockets.encryption(verified=not mail.local))
            sockets.limit(server.sock, deadline)
            server.ehlo_or_helo_if_needed()
        elif mail.user and not mail.local:
            raise FailedError("offers no STARTTLS, and a password is not sent in the open", final=True)
        if mail.user:
            server.login(mail.user, mail.password)
        refused = len(server.send_message(letter))
        server.leave()
        return refused
    finally:
        server.close()


def _letter(mail: Mail, message: Message) -> EmailMessage:
    letter = EmailMessage()
    letter["From"], letter["To"] = mail.sender, ", ".join(mail.to)
    letter["Subject"], letter["Date"] = message.subject(), formatdate()
    letter["Message-ID"] = f"<{message.id}@{mail.sender.rpartition('@')[2]}>"
    letter.set_content(message.words())
    return letter


class _Server(smtplib.SMTP):
    def __init__(self, mail: Mail, deadline: float) -> None:
        self._deadline = deadline
        # its own choice of a name would ask the name server, and may wait long for it
        super().__init__(mail.host, mail.port, local_hostname=socket.gethostname())

    def _get_socket(self, host: str, port: int, _timeout: float) -> socket.socket:
        return sockets.connected(host, port, self._deadline)

    def leave(self) -> None:
        """Take leave; the mail is on its way already, whatever the answer."""
        try:
            self.quit()
        except OSError:
            self.close()
