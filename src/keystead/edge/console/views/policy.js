// The policy of a key: its rules as JSON, with examples to begin from.

import { area, button, element, form, notice, parsedJson } from "/console/elements.js";

/** Rules to begin from; docs/policy.md has all of them. */
const EXAMPLES = [
  ["approvals", { approvals: { required: 1, approvers: ["USER"], validSeconds: 900, uses: 1 } }],
  ["number of uses", { maxUses: 1000 }],
  ["uses a minute", { maxPerMinute: 60 }],
  ["networks of clients", { clients: ["192.0.2.0/24", "2001:db8::/32"] }],
  ["times", { notBefore: "2027-01-01T00:00:00Z", notAfter: "2027-12-31T23:59:59Z" }],
  ["no use at all", { enabled: false }],
  ["never to be changed", { frozen: true }],
];

export async function policyView(hsm, path, isAdmin) {
  const { value: now, change, remove } = await hsm.document(`${path}/policy`);
  if (!isAdmin) return Object.keys(now).length ? element("pre", {}, JSON.stringify(now, null, 2))
    : element("p", {}, "None is set.");
  const { usesLeft, ...settable } = now;
  const text = area("Policy, as JSON", "text", { rows: 10, value: JSON.stringify(settable, null, 2) });
  return element("div", {}, usesLeft !== undefined && element("p", {}, `Uses left: ${usesLeft}`),
    form([element("p", { class: "soft" }, "Each use of the key must satisfy all rules; {} has none. "
      + "Add a rule, then change its values:"),
    element("p", { class: "buttons" }, EXAMPLES.map(([name, rule]) =>
      button(`Add: ${name}`, () => add(rule, text.querySelector("textarea"))))), text],
    "Set the policy", async (values) => {
      await change(parsedJson(values.text));
      return notice("good", "The policy is set.");
    }, { label: "Set the policy" }),
    form([], "Remove the policy", async () => {
      await remove();
      return notice("good", "The policy is removed.");
    }, { label: "Remove the policy", danger: true }));
}

function add(rule, input) {
  input.value = JSON.stringify({ ...parsedJson(input.value), ...rule }, null, 2);
  input.focus();
}
