// The audit journal: its newest entries, and a check of their chain.

import { button, element, facts, field, form, section, table } from "/console/elements.js";
import { save } from "/console/bytes.js";

const PAGE = 200;

export async function journalView({ hsm }) {
  const head = await hsm.get("/journal/head");
  const place = element("div", {});
  const newest = Number(head.number ?? head.last ?? 0);
  const load = async (from) => place.replaceChildren(await page(hsm, from, load));
  await load(Math.max(1, newest - PAGE + 1));
  return element("div", {}, element("h1", {}, "Journal"),
    section("Head", facts(Object.entries(head).map(([name, value]) =>
      [name, element("code", {}, typeof value === "string" ? value : JSON.stringify(value))])),
    element("p", {}, "Verify an export offline: ",
      element("code", {}, "keystead journal verify FILE --key key.pem")),
    element("p", { class: "buttons" },
      button("Save key.pem", async () => save("key.pem", await hsm.text("/journal/key.pem"))),
      button("Save the journal", async () =>
        save("journal.ndjson", await (await hsm.request("GET", "/journal")).blob())))),
    section("From an entry's number on", form([field("Number", { name: "from", type: "number", min: 1,
      required: true })], "Show", ({ from }) => load(Number(from)), { label: "From a number on" })),
    place);
}

async function page(hsm, from, load) {
  const text = await hsm.text(`/journal?from=${from}&limit=${PAGE}`);
  const entries = text.split("\n").filter(Boolean).map((line) => JSON.parse(line));
  const names = [...new Set(entries.flatMap((entry) => Object.keys(entry)))];
  return section(`${entries.length} entries`, table(names, entries.map((entry) =>
    names.map((name) => said(entry[name]))), "Entries"),
  element("p", { class: "buttons" },
    from > 1 && button("Older", () => load(Math.max(1, from - PAGE))),
    entries.length === PAGE && button("Newer", () => load(from + PAGE))));
}

function said(value) {
  if (value === undefined || value === null) return "";
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}
