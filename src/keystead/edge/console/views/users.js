// Users: who they are, their roles, tags and passphrases.

import { button, choice, confirmed, counted, element, facts, field, form, later, listed, requireSame, section } from "/console/elements.js";
import { segment } from "/console/hsm.js";

const ROLES = [["Operator", "Operator: uses keys"],
  ["Administrator", "Administrator: manages users, keys and settings"],
  ["Metrics", "Metrics: reads figures"], ["Backup", "Backup: makes backups"]];

export async function usersView({ hsm, go }) {
  const list = await hsm.get("/users");
  const again = () => go("users");
  const namespaces = hsm.isRoot ? await hsm.get("/namespaces") : [];
  const apart = new Set(namespaces.map(({ id }) => id));
  const isApart = (user) => user.includes("~") && apart.has(user.split("~")[0]);
  const one = (user) => later(user, () => oneUser(hsm, user, again, isApart(user)));
  return element("div", {}, element("h1", {}, "Users"),
    later("New user", () => newUser(hsm, again)),
    section(counted(list.length, "user"), listed(list.map(({ user }) => user), "user", one)));
}

function newUser(hsm, again) {
  const roles = hsm.isRoot ? rolesOf(hsm) : ROLES.slice(0, 2);
  return form([
    field("User", { name: "id", required: true }, hsm.isRoot
      ? "Letters and digits. A user of a namespace is namespace~user." : `Begins with ${hsm.namespace}~`),
    field("Real name", { name: "realName", required: true }),
    choice("Role", "role", roles, "Operator"),
    field("Passphrase", { name: "passphrase", type: "password", required: true, minlength: 10,
      autocomplete: "new-password" }),
    field("Passphrase again", { name: "again", type: "password", required: true,
      autocomplete: "new-password" }),
  ], "Add", async ({ id, again: second, ...wanted }) => {
    requireSame(wanted.passphrase, second);
    await hsm.send("PUT", `/users/${segment(id)}`, wanted);
    again();
  }, { label: "New user" });
}

/** Returns the roles that this server has. */
function rolesOf(hsm) {
  const known = hsm.description?.components?.schemas?.Role?.enum ?? [];
  return known.includes("Auditor") ? [...ROLES, ["Auditor", "Auditor: reads the journal"]] : ROLES;
}

/** `isApart`: the user is in a namespace, and only its own administrators change users there. */
async function oneUser(hsm, user, again, isApart) {
  const path = `/users/${segment(user)}`;
  const { realName, role } = await hsm.get(path);
  const tags = role === "Operator" ? await hsm.get(`${path}/tags`).catch(() => []) : [];
  const parts = [facts([["Real name", realName], ["Role", role], ["Tags", tags.join(", ")]])];
  if (isApart) return element("div", {}, parts,
    element("p", { class: "soft" }, "Only administrators of this user's namespace can change the user."));
  if (role === "Operator") parts.push(
    form([field("Tag", { name: "tag", required: true })], "Add the tag", async ({ tag }) => {
      await hsm.request("PUT", `${path}/tags/${segment(tag)}`);
      again();
    }, { label: `Add a tag to ${user}` }),
    element("p", { class: "buttons" }, tags.map((tag) => button(`Remove the tag ${tag}`, async () => {
      await hsm.request("DELETE", `${path}/tags/${segment(tag)}`);
      again();
    }))));
  parts.push(passphraseForm(hsm, path, user), form([], "Remove the user", async () => {
    if (!await confirmed(`${user} can no longer sign in.`, "Remove the user", user)) return;
    await hsm.request("DELETE", path);
    again();
  }, { label: `Remove ${user}`, danger: true }));
  return element("div", {}, parts);
}

function passphraseForm(hsm, path, user) {
  return form([
    field("New passphrase", { name: "passphrase", type: "password", required: true, minlength: 10,
      autocomplete: "new-password" }),
    field("Again", { name: "again", type: "password", required: true, autocomplete: "new-password" }),
  ], "Set the passphrase", async ({ passphrase, again }, made) => {
    requireSame(passphrase, again);
    await hsm.send("POST", `${path}/passphrase`, { passphrase });
    made.reset();
    if (user === hsm.user) await hsm.signIn(user, passphrase);
    return element("p", {}, "The passphrase is set.");
  }, { label: `Passphrase of ${user}` });
}

