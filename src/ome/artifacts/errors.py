"""What can be wrong with model files on disk. Each says the file, the cause and the remedy."""

from __future__ import annotations


class ArtifactError(Exception):
    """``reason`` is a short code; ``remedy`` says what a person can do."""

    reason: str = "InvalidModel"

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message}; {self.remedy}" if self.remedy else self.message


class NoModelFound(ArtifactError):  # noqa: N818 - names are the reasons users see
    reason = "NoModelFound"


class CorruptModelFile(ArtifactError):  # noqa: N818
    reason = "CorruptModelFile"


class IncompleteModel(ArtifactError):  # noqa: N818
    """Files that others refer to are missing."""

    reason = "IncompleteModel"


class TruncatedModelFile(CorruptModelFile):
    """The file ends before the data that its header announces. Sizes in bytes."""

    reason = "TruncatedModelFile"

    def __init__(self, name: str, *, expected: int, real: int) -> None:
        super().__init__(
            f"{name} is truncated: its header announces {expected} bytes, it has {real}",
            remedy="download it again, or copy it again from where it is whole",
        )
        self.expected = expected
        self.real = real
