// Approvals: who asked to use a key, why, and what was decided.

import { button, counted, element, field, form, moment, section, shown, table } from "/console/elements.js";
import { segment } from "/console/hsm.js";

export async function approvalsView({ hsm, go }) {
  const list = await hsm.get("/approvals");
  const again = () => go("approvals");
  const decided = await Promise.all(list.map((one) => mayDecide(hsm, one)));
  return element("div", {}, element("h1", {}, "Approvals"),
    element("p", { class: "soft" }, "A key whose policy has the rule approvals is used only after others have agreed: "
      + "an operator asks here, and those whom the policy names approve or refuse."),
    hsm.is("Operator") && section("Ask for an approval", askForm(hsm, again)),
    section(counted(list.length, "approval"), table(
      ["Key", "Asked by", "Reason", "Uses left", "State", "Approved by", "Until", "Decision"],
      list.map((one, index) => row(hsm, one, decided[index], again)), "Approvals")));
}

function askForm(hsm, again) {
  return form([field("Key", { name: "key", required: true }),
    field("Reason", { name: "reason", required: true, maxlength: 500 })], "Ask",
  async ({ key, reason }) => {
    await hsm.send("POST", `/keys/${segment(key)}/approvals`, { reason });
    again();
  }, { label: "Ask for an approval" });
}

/** Whether the user can approve or refuse it. Who may decide sees it; root administrators see all. */
async function mayDecide(hsm, one) {
  if (one.state !== "pending" || one.askedBy === hsm.user || one.approvedBy.includes(hsm.user)) return false;
  if (!hsm.is("Administrator") || !hsm.isRoot) return true;
  if (one.namespace) return false;
  try {
    const { approvals } = await hsm.get(`/keys/${segment(one.key)}/policy`);
    return [approvals?.approvers].flat().includes(hsm.user);
  } catch {
    return false; // The key or its policy is gone.
  }
}

function row(hsm, one, isOpen, again) {
  const place = element("span", {});
  const decide = (verb, text) => button(text, async () => {
    place.replaceChildren(await shown(async () => {
      await hsm.request("POST", `/approvals/${segment(one.id)}/${verb}`);
      again();
    }));
  }, { "aria-label": `${text} the request of ${one.askedBy} for ${one.key}` });
  return [one.key, one.askedBy, one.reason, `${one.usesLeft} of ${one.uses}`,
    one.refusedBy ? `${one.state} by ${one.refusedBy}` : one.state,
    `${one.approvedBy.join(", ") || "nobody"} (${one.required} needed)`, moment(one.endsAt),
    element("span", { class: "buttons" },
      isOpen && [decide("approve", "Approve"), decide("refuse", "Refuse")], place)];
}
