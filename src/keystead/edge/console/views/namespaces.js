// Namespaces: each has its own users and keys.

import { confirmed, counted, element, field, form, later, listed, section } from "/console/elements.js";
import { segment } from "/console/hsm.js";

const LIMITS = [["keys", "Keys"], ["users", "Users"], ["keyBytes", "Bytes of keys"]];

export async function namespacesView({ hsm, go }) {
  const list = await hsm.get("/namespaces");
  const again = () => go("namespaces");
  return element("div", {}, element("h1", {}, "Namespaces"),
    section("New namespace", form([field("Name", { name: "id", required: true },
      "Add its first administrator, name~user, before you create it: afterwards only its own "
      + "administrators add users.")],
    "Create", async ({ id }) => {
      await hsm.request("PUT", `/namespaces/${segment(id)}`);
      again();
    }, { label: "New namespace" })),
    section(counted(list.length, "namespace"),
      listed(list.map(({ id }) => id), "namespace", (id) => later(id, () => one(hsm, id, again)))));
}

async function one(hsm, id, again) {
  const path = `/namespaces/${segment(id)}`;
  const { value: quota, change } = await hsm.document(`${path}/quota`);
  return element("div", {},
    form(LIMITS.map(([name, label]) => field(`Most: ${label.toLowerCase()}`,
      { name, type: "number", min: 0, value: String(quota[name] ?? "") }, "Empty: no limit.")),
    "Set the limits", async (values) => {
      const wanted = LIMITS.filter(([name]) => values[name] !== "");
      await change(Object.fromEntries(wanted.map(([name]) => [name, Number(values[name])])));
      return element("p", {}, "The limits are set.");
    }, { label: `Limits of ${id}` }),
    form([], "Delete the namespace", async () => {
      if (!await confirmed(`All keys of ${id} are deleted with it.`, "Delete the namespace", id)) return;
      await hsm.request("DELETE", path);
      again();
    }, { label: `Delete ${id}`, danger: true }));
}
