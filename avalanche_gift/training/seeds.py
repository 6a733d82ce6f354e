"""Seeds made of several numbers."""

import hashlib


def combined_seed(*parts: int) -> int:
    """One 63-bit seed from several whole numbers, so that neighbouring seeds share no stream."""
    digest = hashlib.sha256(repr(parts).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
