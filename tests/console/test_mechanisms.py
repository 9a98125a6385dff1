from keystead import algorithms
from keystead.algorithms import SIGN
from tests.console.conftest import Console


def test_the_console_offers_and_explains_every_mechanism_of_every_key_type(console: Console):
    offered = console.page.evaluate(
        """async () => {
          const { TYPES, explained, signModes } = await import("/console/mechanisms.js");
          const about = (name) => ({ name, words: explained(name), modes: signModes([name]) });
          return Object.entries(TYPES).map(([type, names]) => [type, names.map(about)]);
        }"""
    )
    assert {type_: {one["name"] for one in names} for type_, names in offered} == {
        row.name: {one.name for one in row.mechanisms} for row in algorithms.ALL
    }, "a new one belongs in TYPES and EXPLAINED of src/keystead/edge/console/mechanisms.js"
    signs = {
        (one.name, one.mode) for row in algorithms.ALL for one in row.mechanisms if one.use is SIGN
    }
    for _, names in offered:
        for one in names:
            assert one["words"], one["name"]
            assert {(one["name"], mode) for mode in one["modes"]} <= signs
            assert bool(one["modes"]) == any(name == one["name"] for name, _ in signs)
