"""Long lists are made in steps: a million IDs must not keep everyone else waiting."""

import asyncio
import json

import pytest

from keystead.api.resources.shapes import LIST_STEP, id_list


@pytest.mark.parametrize("count", [0, 1, LIST_STEP - 1, LIST_STEP, LIST_STEP + 1, 5 * LIST_STEP])
async def test_nothing_is_lost_between_two_steps(count):
    ids = [f"key-{number}" for number in range(count)]
    assert json.loads(await id_list("id", ids)) == [{"id": one} for one in ids]


async def test_others_have_their_turn_between_two_steps():
    turns = 0

    async def count_turns():
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    other = asyncio.create_task(count_turns())
    await id_list("id", ["x"] * (20 * LIST_STEP))
    other.cancel()
    assert turns >= 20
