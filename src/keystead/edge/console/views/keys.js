// The table of keys, in pages: 100,000 keys cost no more than the rows on the screen.

import { button, choice, element, field, form, section, shown, table } from "/console/elements.js";
import { segment } from "/console/hsm.js";
import { TYPES } from "/console/mechanisms.js";

const PAGE = 100;
const SEARCHED_AT_ONCE = 1000;

export async function keysView({ hsm, go, onStop }) {
  const search = { hsm, place: element("div", { "aria-live": "polite" }), isStopped: false,
    wanted: { prefix: "", label: "", tag: "", type: "" } };
  onStop(() => { search.isStopped = true; });
  const filters = section("Filter", form([element("div", { class: "row" },
    field("ID begins with", { name: "prefix" }), field("Label contains", { name: "label" }),
    field("Tag", { name: "tag" }),
    choice("Type", "type", [["", "any"], ...Object.keys(TYPES)], ""))],
  "Show", (values) => {
    Object.assign(search.wanted, values);
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
  const { label, tag, type } = search.wanted;
  const limit = label || tag || type ? SEARCHED_AT_ONCE : PAGE;
  const found = [];
  let last = after;
  for (let looked = 0; found.length < PAGE && !search.isStopped;) {
    const page = await keyPage(search, last, limit);
    if (page.length === 0) return { found, last, isEnd: true }; // A page may also be cut short.
    found.push(...page.filter((key) => fits(key, search.wanted)));
    last = page.at(-1).id;
    looked += page.length;
    progress.textContent = `Looked at ${looked} keys, up to ${last}: ${found.length} fit.`;
  }
  if (found.length > PAGE) last = found[PAGE - 1].id;
  return { found: found.slice(0, PAGE), last, isEnd: false };
}

function keyPage({ hsm, wanted }, after, limit) {
  const query = new URLSearchParams({ details: "true", limit: String(limit) });
  if (after) query.set("after", after);
  if (wanted.prefix) query.set("prefix", wanted.prefix);
  return hsm.get(`/keys?${query}`);
}

function fits(key, { label, tag, type }) {
  return (!type || key.type === type) && (!label || (key.label ?? "").includes(label))
    && (!tag || (key.restrictions?.tags ?? []).includes(tag));
}

function row(key) {
  return [element("a", { href: `#/key/${segment(key.id)}` }, key.id), key.type, key.label ?? "",
    key.mechanisms.join(", "), (key.restrictions?.tags ?? []).join(", "), key.operations];
}
