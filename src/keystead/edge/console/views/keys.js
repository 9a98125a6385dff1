// The table of keys, in pages: 100,000 keys cost no more than the rows on the screen.

import { button, choice, element, field, form, section, table } from "/console/elements.js";
import { segment } from "/console/hsm.js";
import { TYPES } from "/console/mechanisms.js";

const PAGE = 100;
const MOST_READ = 5000;

export async function keysView({ hsm, go }) {
  const place = element("div", { "aria-live": "polite" });
  const wanted = { prefix: "", label: "", tag: "", type: "" };
  const load = (after) => showPage(hsm, place, wanted, after);
  const filters = section("Filter", form([element("div", { class: "row" },
    field("ID begins with", { name: "prefix" }), field("Label contains", { name: "label" }),
    field("Tag", { name: "tag" }),
    choice("Type", "type", [["", "any"], ...Object.keys(TYPES)], ""))],
  "Show", (values) => {
    Object.assign(wanted, values);
    return load("");
  }, { label: "Filter keys" }));
  await load("");
  return element("div", {}, element("h1", {}, "Keys"),
    hsm.is("Administrator") && element("p", {},
      button("New key", () => go("new-key"), { class: "main" })), filters, place);
}

/** Reads on from `after` until a page is full of keys that fit, or `MOST_READ` were looked at. */
async function showPage(hsm, place, wanted, after) {
  const found = [];
  let last = after;
  let isEnd = false;
  for (let read = 0; found.length < PAGE && !isEnd && read < MOST_READ; read += PAGE) {
    const page = await keyPage(hsm, wanted.prefix, last);
    isEnd = page.length === 0; // The HSM may cut a page short.
    last = page.at(-1)?.id ?? last;
    found.push(...page.filter((key) => fits(key, wanted)));
  }
  place.replaceChildren(section(`${found.length} keys${after ? `, after ${after}` : ""}`,
    table(["ID", "Type", "Label", "Mechanisms", "Tags", "Uses"], found.map(row), "Keys"),
    element("p", { class: "buttons" },
      after && button("First page", () => showPage(hsm, place, wanted, "")),
      !isEnd && button("Next page", () => showPage(hsm, place, wanted, last)))));
}

function keyPage(hsm, prefix, after) {
  const query = new URLSearchParams({ details: "true", limit: String(PAGE) });
  if (after) query.set("after", after);
  if (prefix) query.set("prefix", prefix);
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
