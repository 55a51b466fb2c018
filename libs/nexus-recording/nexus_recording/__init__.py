"""Raw recordings of exchange streams: segments, and compiled parsers that turn them into market events."""

from nexus_recording.decoder import Decoder
from nexus_recording.faults import Fault
from nexus_recording.recording import Recording, Summary
from nexus_recording.segments import Writer, found, pieces

__all__ = ["Decoder", "Fault", "Recording", "Summary", "Writer", "found", "pieces"]
