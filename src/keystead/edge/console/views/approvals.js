// Approvals: who asked to use a key, why, and what was decided.

import { button, element, field, form, moment, section, shown, table } from "/console/elements.js";
import { segment } from "/console/hsm.js";

export async function approvalsView({ hsm, go }) {
  const list = await hsm.get("/approvals");
  const again = () => go("approvals");
  return element("div", {}, element("h1", {}, "Approvals"),
    hsm.is("Operator") && section("Ask for an approval", askForm(hsm, again)),
    section(`${list.length} approvals`, table(
      ["Key", "Asked by", "Reason", "Uses left", "State", "Approved by", "Until", "Decision"],
      list.map((one) => row(hsm, one, again)), "Approvals")));
}

function askForm(hsm, again) {
  return form([field("Key", { name: "key", required: true }),
    field("Reason", { name: "reason", required: true, maxlength: 500 })], "Ask",
  async ({ key, reason }) => {
    await hsm.send("POST", `/keys/${segment(key)}/approvals`, { reason });
    again();
  }, { label: "Ask for an approval" });
}

function row(hsm, one, again) {
  const place = element("span", {});
  const decide = (verb, text) => button(text, async () => {
    place.replaceChildren(await shown(async () => {
      await hsm.request("POST", `/approvals/${segment(one.id)}/${verb}`);
      again();
    }));
  }, { "aria-label": `${text} the request of ${one.askedBy} for ${one.key}` });
  const isOpen = one.state === "pending" && one.askedBy !== hsm.user;
  return [one.key, one.askedBy, one.reason, `${one.usesLeft} of ${one.uses}`,
    one.refusedBy ? `${one.state} by ${one.refusedBy}` : one.state,
    `${one.approvedBy.join(", ") || "nobody"} (${one.required} needed)`, moment(one.endsAt),
    element("span", { class: "buttons" },
      isOpen && [decide("approve", "Approve"), decide("refuse", "Refuse")], place)];
}
