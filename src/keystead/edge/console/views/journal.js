// The audit journal: its newest entries, a search, and a check of their chain and signatures.

import { save } from "/console/bytes.js";
import { button, element, facts, field, form, moment, notice, section, shown, table, withProgress } from "/console/elements.js";
import { journalCheck } from "/console/journal_check.js";

const PAGE = 200;
const FIELDS = ["n", "time", "action", "who", "address", "key", "target", "mode", "outcome", "count"];

export async function journalView({ hsm, onStop }) {
  const read = (place, take) => withProgress(place, (onProgress, signal) =>
    hsm.eachLine("/journal", take, { onProgress, signal }), onStop);
  const head = await hsm.get("/journal/head");
  const place = element("div", {});
  const load = async (from) => place.replaceChildren(await shown(() => page(hsm, from, load)));
  await load(Math.max(1, head.n - PAGE + 1));
  return element("div", {}, element("h1", {}, "Journal"),
    section("Checkpoint", facts([["Entries", head.n], ["Signed", moment(head.time)],
      ["Hash", element("code", {}, head.chain)]]),
    element("p", { class: "buttons" },
      button("Save this checkpoint", () => save("head.json", `${JSON.stringify(head)}\n`)),
      button("Save key.pem", async () => save("key.pem", await hsm.text("/journal/key.pem"))),
      button("Save the journal", async () =>
        save("journal.ndjson", await (await hsm.request("GET", "/journal")).blob()))),
    form([], "Verify the journal here", (_, made) => verify(hsm, (take) => read(made, take)), { label: "Verify" })),
    section("Entries", form([element("div", { class: "row" },
      field("From number", { name: "from", type: "number", min: 1 }),
      field("Search in all entries", { name: "text" }))], "Show",
    ({ from, text }, made) => (text ? search(text, (take) => read(made, take)) : load(Number(from) || 1)), { label: "Entries" })),
    place);
}

/** `read(take)` reads the whole journal and gives `take` each line. */
async function verify(hsm, read) {
  const { take, found } = await journalCheck(await hsm.text("/journal/key.pem"));
  await read(take);
  if (found.fault) return notice("bad", `Entry ${found.fault} is not what the chain says. Keep an export and its heads.`);
  return notice("good", `${found.entries} lines are whole, and signed up to number ${found.signed}. `
    + "A check against a head that was kept elsewhere: keystead journal verify --head.");
}

/** Shows the newest entries that have a text, up to a page of them. */
async function search(text, read) {
  const found = [];
  await read((line) => {
    if (line.includes(text) && found.push(line) > PAGE) found.shift();
  });
  return entryTable(found.map((line) => JSON.parse(line)));
}

async function page(hsm, from, load) {
  const text = await hsm.text(`/journal?from=${from}&limit=${PAGE}`);
  const entries = text.split("\n").filter(Boolean).map((line) => JSON.parse(line)).filter(({ n }) => n);
  const first = entries.length ? entries[0].n : from;  // Later than asked for, if entries were deleted.
  return section(`From number ${first}`, entryTable(entries),
    element("p", { class: "buttons" },
      first > 1 && button("Older", () => load(Math.max(1, first - PAGE))),
      entries.length === PAGE && button("Newer", () => load(first + PAGE))));
}

function entryTable(entries) {
  return table(FIELDS, entries.map((entry) => FIELDS.map((name) =>
    name === "time" && entry.time ? moment(entry.time) : String(entry[name] ?? ""))), "Entries");
}
