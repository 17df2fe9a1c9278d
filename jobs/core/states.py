"""The states of an image and the other closed sets of words that the schema, the JSON and the logs share."""

from enum import StrEnum


class ImageStatus(StrEnum):
    """What a client sees of a task; design section 4."""

    PENDING = "pending"
    GENERATING = "generating"
    COMPLETED = "completed"
    FAILED = "failed"

    @property
    def is_over(self) -> bool:
        """No attempt will change it any more."""
        return self in (ImageStatus.COMPLETED, ImageStatus.FAILED)


class Stage(StrEnum):
    """Where within its status a task is."""

    QUEUED = "queued"
    TRANSLATING = "translating"
    DRAWING = "drawing"
    SAVING = "saving"
    RETRYING = "retrying"
    COMPLETED = "completed"
    FAILED = "failed"


class DescriptionType(StrEnum):
    """What a passage describes."""

    LOCATION = "location"
    CHARACTER = "character"
    ATMOSPHERE = "atmosphere"
    OBJECT = "object"
    ACTION = "action"


class RetryPolicyName(StrEnum):
    """How long a failed attempt waits: `patient` for tasks that are polled, `impatient` where a request waits."""

    PATIENT = "patient"
    IMPATIENT = "impatient"


class AspectRatio(StrEnum):
    """Width to height of a picture; the set that Google's image models take in `ImageConfig.aspect_ratio`
    (google-genai 3.4, types.ImageConfig), without the extreme panoramas."""

    SQUARE = "1:1"
    PORTRAIT_2_3 = "2:3"
    LANDSCAPE_3_2 = "3:2"
    PORTRAIT_3_4 = "3:4"
    LANDSCAPE_4_3 = "4:3"
    PORTRAIT_9_16 = "9:16"
    LANDSCAPE_16_9 = "16:9"

    @property
    def sides(self) -> tuple[int, int]:
        """Width and height as the two numbers of the ratio."""
        width, height = self.value.split(":")
        return int(width), int(height)
