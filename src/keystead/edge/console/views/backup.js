// Backups, made and restored.

import { save } from "/console/bytes.js";
import { button, element, field, form, notice, section, withProgress } from "/console/elements.js";
import { now } from "/console/hsm.js";

export function backupView({ hsm, go }) {
  const maker = hsm.is("Backup")
    ? section("Make a backup", form([element("p", { class: "soft" },
      "The file has all keys, users and settings, under the backup passphrase that an administrator sets.")],
    "Make and save a backup", (_, made) => make(hsm, made),
      { label: "Make a backup" }))
    : section("Make a backup", element("p", {}, "Users with the role Backup make backups. ",
      element("a", { href: "#/users" }, "Add one"), " and ",
      element("a", { href: "#/settings/Backup passphrase" }, "set the backup passphrase"),
      ", then sign in as that user."));
  const restorer = hsm.is("Backup") ? null : section("Restore", restoreForm(hsm));
  return element("div", {}, element("h1", {}, "Backup"), hsm.isSignedIn && maker, restorer,
    !hsm.isSignedIn && element("p", {}, button("Provision a new HSM instead", () => go(""))));
}

async function make(hsm, made) {
  const file = await withProgress(made, (onProgress, signal) =>
    hsm.download("POST", "/system/backup", { signal, onProgress }));
  const name = `keystead-${new Date().toISOString().slice(0, 10)}.backup`;
  save(name, file);
  return notice("good", `The backup has ${file.size} bytes. Check it: keystead backup verify ${name}`);
}

function restoreForm(hsm) {
  return form([
    hsm.state === "Operational" && notice("note",
      "Users, keys and namespaces of the backup replace those that are here."),
    field("Backup file", { name: "file", type: "file", required: true }),
    field("Backup passphrase", { name: "passphrase", type: "password", required: true }),
  ], "Restore", async ({ file, passphrase }, made) => {
    try {
      await withProgress(made, (onProgress, signal) => restore(hsm, file, passphrase, { onProgress, signal }));
    } finally {
      made.elements.passphrase.value = "";
    }
    await hsm.look();
    return notice("good", "The backup is restored.");
  }, { label: "Restore", danger: true });
}

async function restore(hsm, file, passphrase, options) {
  const isNew = hsm.state === "Unprovisioned";
  const given = { backupPassphrase: passphrase, ...(isNew && { systemTime: now() }) };
  await hsm.upload("POST", "/system/restore", given, "backup_file", file, { ...options, anonymous: isNew });
}
