"""Random interleavings of everything that changes an image's state, from several workers, against the real SQL.

Whatever the order: a picture is completed at most once, none is lost, and no fenced attempt writes.
"""

import asyncio
import uuid
from collections.abc import Coroutine
from typing import Any, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from jobs.core.books import NewBook, NewChapter, NewDescription, add_book, find_chapter
from jobs.core.database import Database
from jobs.core.errors import TaskOver
from jobs.core.images import (
    ImageOptions,
    cancel_image,
    claim_image,
    complete_image,
    fail_image,
    find_fate,
    hand_back_image,
    renew_leases,
    retry_image,
    start_saving,
    submit_image,
)
from jobs.core.queue_client import Queues
from jobs.core.queues import NORMAL
from jobs.core.reconcile import MAX_LOST, reconcile_images, send_failed_images_again
from jobs.core.states import DescriptionType, ImageStatus
from jobs.core.users import create_user
from jobs.launcher.servers import Servers
from tests.conftest import Sql

PASSAGES = 2
MAX_RETRIES = 4
Answer = TypeVar("Answer")


class ImageLife(RuleBasedStateMachine):
    """The model: which attempt owns which image, and which images are over."""

    servers: Servers
    sql: Sql
    attempts = Bundle("attempts")

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.database = Database(self.servers.database_url, max_connections=2)
        self.run(self.database.__aenter__())
        self.queues = Queues(self.servers.redis_url)
        self.run(self.make_book())
        self.owner: dict[uuid.UUID, int] = {}  # image to the attempt that holds its lease
        self.over: dict[uuid.UUID, ImageStatus] = {}
        self.seen: list[uuid.UUID] = []  # in the order of their rows, so that a failing run can be repeated
        self.completions: dict[uuid.UUID, int] = {}

    def run(self, coroutine: Coroutine[Any, Any, Answer]) -> Answer:
        return self.loop.run_until_complete(coroutine)

    async def make_book(self) -> None:
        self.user, _ = await create_user(self.database, f"u{uuid.uuid4().hex[:8]}")
        texts = [f"Passage {number}." for number in range(PASSAGES)]
        passages = [NewDescription(DescriptionType.OBJECT, text) for text in texts]
        chapters = [NewChapter(" ".join(texts), None, passages)]
        book = await add_book(self.database, self.user.id, NewBook("b", chapters=chapters))
        chapter = await find_chapter(self.database, self.user.id, book.chapters[0]["id"])
        self.passages = [each["id"] for each in chapter.descriptions]

    def teardown(self) -> None:
        self.sql("DELETE FROM users")
        self.queues.close()
        self.run(self.database.__aexit__(None, None, None))
        self.loop.close()

    def owns(self, attempt: tuple[uuid.UUID, int]) -> bool:
        return self.owner.get(attempt[0]) == attempt[1]

    @rule(passage=st.integers(0, PASSAGES - 1))
    def enqueue(self, passage: int) -> None:
        submission = self.run(submit_image(self.database, self.user.id, self.passages[passage], ImageOptions()))
        image_id = submission.image.id
        assert (submission.outcome == "created") == (image_id not in self.seen)
        assert (submission.outcome == "exists") == (self.over.get(image_id) is ImageStatus.COMPLETED)
        if image_id not in self.seen:
            self.seen.append(image_id)

    @rule(target=attempts, pick=st.integers(0, 99), attempt=attempts)
    def lose_and_claim_again(self, pick: int, attempt: tuple[uuid.UUID, int]) -> Any:
        """An attempt loses its image in one of three ways, and another worker takes it."""
        (self.hand_back, self.retry, self.expire)[pick % 3](attempt=attempt)
        return self.claim(pick=self.seen.index(attempt[0]))

    @rule(target=attempts, pick=st.integers(0, 99))
    def claim(self, pick: int) -> Any:
        if not self.seen:
            return multiple()
        image_id = self.seen[pick % len(self.seen)]
        claimed = self.run(claim_image(self.database, image_id, lease_s=3600))
        assert claimed is None or (image_id not in self.owner and image_id not in self.over)
        if claimed is None:
            return multiple()
        self.owner[image_id] = claimed.attempt
        return image_id, claimed.attempt

    @rule(attempt=attempts)
    def renew(self, attempt: tuple[uuid.UUID, int]) -> None:
        kept = self.run(renew_leases(self.database, {attempt[0]: attempt[1]}, lease_s=3600))
        assert bool(kept) == self.owns(attempt)

    @rule(attempt=attempts)
    def save(self, attempt: tuple[uuid.UUID, int]) -> None:
        written = self.run(start_saving(self.database, *attempt, service_used="x", model="x", prompt_used="x"))
        assert written == self.owns(attempt)

    @rule(attempt=consumes(attempts))
    def complete(self, attempt: tuple[uuid.UUID, int]) -> None:
        written = self.run(
            complete_image(
                self.database, *attempt, content_type="image/png", size_bytes=1, width_px=1, height_px=1, duration_s=0.1
            )
        )
        assert written == self.owns(attempt)
        if written:
            self.end(attempt[0], ImageStatus.COMPLETED)
            self.completions[attempt[0]] = self.completions.get(attempt[0], 0) + 1

    @rule(attempt=attempts, code=st.sampled_from(["blocked", "timeout"]))
    def fail(self, attempt: tuple[uuid.UUID, int], code: str) -> None:
        written = self.run(fail_image(self.database, *attempt, error_code=code, error_message="x"))
        assert written == self.owns(attempt)
        if written:
            self.end(attempt[0], ImageStatus.FAILED)

    @rule(attempt=attempts)
    def retry(self, attempt: tuple[uuid.UUID, int]) -> None:
        spent = self.run(
            retry_image(
                self.database, *attempt, max_retries=MAX_RETRIES, delay_s=0, error_code="timeout", error_message="x"
            )
        )
        assert spent is None or (self.owns(attempt) and spent <= MAX_RETRIES)
        if spent is not None:
            del self.owner[attempt[0]]

    @rule(attempt=attempts)
    def hand_back(self, attempt: tuple[uuid.UUID, int]) -> None:
        written = self.run(hand_back_image(self.database, *attempt))
        assert written == self.owns(attempt)
        if written:
            del self.owner[attempt[0]]

    @rule(pick=st.integers(0, 99))
    def cancel(self, pick: int) -> None:
        if not self.seen or pick % 4:  # or too few pictures would live to be completed
            return
        image_id = self.seen[pick % len(self.seen)]
        try:
            _, was_generating = self.run(cancel_image(self.database, self.user.id, image_id))
        except TaskOver:
            assert image_id in self.over
            return
        assert was_generating == (image_id in self.owner)
        self.end(image_id, ImageStatus.FAILED)

    @rule(attempt=attempts)
    def expire(self, attempt: tuple[uuid.UUID, int]) -> None:
        """The worker of an attempt dies, and its lease runs out."""
        if self.owns(attempt):
            self.sql("UPDATE generated_images SET lease_expires_at = now() - interval '1 s' WHERE id = %s", attempt[0])
            self.reconcile()

    @rule()
    def reconcile(self) -> None:
        before = {row["id"]: row for row in self.rows("status = 'generating' AND lease_expires_at < now()")}
        found = self.run(reconcile_images(self.database, self.queues, overdue_s=0))
        assert found["expired_leases"] + found["worker_lost"] == len(before)
        for image_id, row in before.items():
            del self.owner[image_id]
            if row["lost_count"] + 1 >= MAX_LOST:
                self.over[image_id] = ImageStatus.FAILED
        waiting = {str(row["id"]) for row in self.rows("status = 'pending'")}
        assert waiting <= self.queues.list_queued_ids(NORMAL)  # none is lost

    @rule()
    def send_failed_again(self) -> None:
        self.run(send_failed_images_again(self.database, self.queues, 0, 10))
        for row in self.rows("status = 'pending'"):
            self.over.pop(row["id"], None)

    @invariant()
    def rows_agree_with_the_model(self) -> None:
        for image_id in self.seen:
            fate = self.run(find_fate(self.database, image_id))
            expected = self.over.get(image_id) or (
                ImageStatus.GENERATING if image_id in self.owner else ImageStatus.PENDING
            )
            assert fate is expected
        assert all(count == 1 for count in self.completions.values())

    def end(self, image_id: uuid.UUID, status: ImageStatus) -> None:
        self.owner.pop(image_id, None)
        self.over[image_id] = status

    def rows(self, condition: str) -> list[dict[str, Any]]:
        return self.sql(f"SELECT id, lost_count FROM generated_images WHERE user_id = %s AND {condition}", self.user.id)


def test_no_interleaving_completes_twice_loses_one_or_lets_a_fenced_attempt_write(servers: Servers, sql: Sql) -> None:
    ImageLife.servers, ImageLife.sql = servers, staticmethod(sql)
    run_state_machine_as_test(
        ImageLife,
        settings=settings(
            max_examples=60, stateful_step_count=60, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
