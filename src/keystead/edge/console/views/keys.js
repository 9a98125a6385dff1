// The table of keys, in pages: 100,000 keys cost no more than the rows on the screen.

import { button, choice, element, field, form, section, shown, table } from "/console/elements.js";
import { segment } from "/console/hsm.js";
import { TYPES } from "/console/mechanisms.js";

const PAGE = 100;

export async function keysView({ hsm, go, onStop }) {
  const search = { hsm, place: element("div", { "aria-live": "polite" }), isStopped: false,
    wanted: {} };
  onStop(() => { search.isStopped = true; });
  const filters = section("Filter", form([element("div", { class: "row" },
    field("ID begins with", { name: "prefix" }), field("Label contains", { name: "labelContains" }),
    field("Tag", { name: "tag" }),
    choice("Type", "type", [["", "any"], ...Object.keys(TYPES)], ""))],
  "Show", (values) => {
    search.wanted = Object.fromEntries(Object.entries(values).filter(([, value]) => value));
    return showPage(search, "");
  }, { label: "Filter keys" }));
  await showPage(search, "");
  return element("div", {}, element("h1", {}, "Keys"),
    hsm.is("Administrator") && element("p", {},
      button("New key", () => go("new-key"), { class: "main" })), filters, search.place);
}

/** Shows the next keys that fit: a full page, or those found until the search is stopped. */
async function showPage(search, after) {
  const progress = element("span", {});
  search.isStopped = false;
  search.place.replaceChildren(section("Searching", element("p", { class: "buttons" },
    button("Stop", () => { search.isStopped = true; }), progress)));
  search.place.replaceChildren(await shown(async () => {
    const { found, last, isEnd } = await readPage(search, after, progress);
    const turn = (text, from) => button(text, () => showPage(search, from));
    return section(titleOf(found),
      search.isStopped && element("p", {}, `The search was stopped after the key ${last}.`),
      table(["ID", "Type", "Label", "Mechanisms", "Tags", "Uses"], found.map(row), "Keys"),
      element("p", { class: "buttons" },
        after && turn("First page", ""), !isEnd && turn("Next page", last)));
  }));
}

function titleOf(found) {
  if (found.length === 0) return "No key";
  return found.length === 1 ? "1 key" : `${found.length} keys: ${found[0].id} to ${found.at(-1).id}`;
}

/** Returns the keys found, the last key that was looked at, and whether that is the last of all. */
async function readPage(search, after, progress) {
  const found = [];
  let last = after;
  do {
    const query = new URLSearchParams({ details: "true", limit: String(PAGE - found.length),
      ...search.wanted });
    if (last) query.set("after", last);
    const response = await search.hsm.request("GET", `/keys?${query}`);
    found.push(...await response.json());
    const next = nextAfter(response);
    if (next === null) return { found, last, isEnd: true };
    last = next;
    progress.textContent = `Looked at the keys up to ${last}: ${found.length} fit.`;
  } while (found.length < PAGE && !search.isStopped);
  return { found, last, isEnd: false };
}

/** Returns the key after which the answer's next page begins, or null if there is none. */
function nextAfter(response) {
  const [, query] = /^<\?([^>]*)>; rel="next"$/.exec(response.headers.get("Link") ?? "") ?? [];
  return new URLSearchParams(query).get("after");
}

function row(key) {
  return [element("a", { href: `#/key/${segment(key.id)}` }, key.id), key.type, key.label ?? "",
    key.mechanisms.join(", "), (key.restrictions?.tags ?? []).join(", "), key.operations];
}
