"""The platform's answers to the questions of the core."""

from dataclasses import dataclass
from pathlib import Path

from keystead.platform.data_directory import free_bytes
from keystead.platform.remote_quotes import QuoteService
from keystead.platform.remote_update_slot import UpdateSlotService
from keystead.platform.unattended_key import UnattendedKeyService
from keystead.processes.platform.opened_store import AnswersMembers
from keystead.storage.backends.remote import StoreAnswers
from keystead.wire.cluster_messages import MembersAnswer
from keystead.wire.platform_messages import (
    AskFreeSpace,
    AskQuote,
    FreeSpace,
    KeepUnattendedKey,
    MembersQuestion,
    PlatformToCore,
    Question,
    Quoted,
    SlotQuestion,
)


@dataclass(frozen=True, slots=True)
class Answers:
    """The services of the platform. Those that are None are not there on this machine."""

    data: Path
    """The data directory."""
    store: StoreAnswers
    slot: UpdateSlotService
    unattended_key: UnattendedKeyService
    quotes: QuoteService | None
    members: AnswersMembers | None

    async def to(self, question: Question) -> PlatformToCore:
        """Return the reply to one question. Errors become a reply too."""
        if isinstance(question, SlotQuestion):
            return await self.slot.answer(question)
        if isinstance(question, KeepUnattendedKey):
            return await self.unattended_key.answer(question)
        if isinstance(question, AskFreeSpace):
            return FreeSpace(question.id, free_bytes(self.data))
        if isinstance(question, AskQuote):
            return await self._quote(question)
        if isinstance(question, MembersQuestion):
            return await self._members(question)
        return await self.store.to(question)

    async def _quote(self, question: AskQuote) -> Quoted:
        if self.quotes is None:
            return Quoted(question.id, None, "There is no TPM.")
        return await self.quotes.answer(question)

    async def _members(self, question: MembersQuestion) -> MembersAnswer:
        if self.members is None:
            return MembersAnswer(question.id, refusal="state", message="There is no cluster.")
        return await self.members(question)
