"""What is sent: one piece of news of a run, as JSON and as the words of a mail."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field

LONGEST = 10_000
"""Characters of a text that are sent; a title has a hundredth of them."""


@dataclass(frozen=True)
class Message:
    """One piece of news; an `id` that comes twice was sent twice because an answer was lost."""

    run: str
    event: str
    """The hook that told of it."""
    title: str
    text: str
    time: str
    """When it was told, by the wall clock: ISO, UTC."""
    repeats: int = 0
    """How often the same alert was held back since it was last sent."""
    dropped: int = 0
    """How many older messages were dropped since the last one, because too many waited."""
    id: str = field(default_factory=lambda: os.urandom(16).hex())

    def __post_init__(self) -> None:
        object.__setattr__(self, "title", " ".join(_clean(self.title).split())[: LONGEST // 100])
        object.__setattr__(self, "text", _clean(self.text)[:LONGEST])

    @property
    def key(self) -> tuple[str, str]:
        """Return what makes two alerts the same."""
        return self.title, self.text

    def json(self) -> bytes:
        """Return the body of a webhook's request."""
        return json.dumps(asdict(self)).encode()

    def subject(self) -> str:
        """Return the subject of a mail."""
        return f"Nexus: {self.title} ({self.run})"

    def words(self) -> str:
        """Return the text of a mail."""
        lines = [self.text, "", f"{self.event} of run {self.run} at {self.time}"]
        if self.repeats:
            lines.append(f"Held back since it was last sent, because it was the same: {self.repeats}.")
        if self.dropped:
            lines.append(f"Messages dropped before this one, because too many waited: {self.dropped}.")
        return "\n".join([*lines, ""])


def _clean(text: str) -> str:
    # what cannot be written as UTF-8 would keep the alert from leaving
    return text.encode("utf-8", "replace").decode()
