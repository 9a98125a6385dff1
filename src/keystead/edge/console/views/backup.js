// Backups, made and restored.

import { save } from "/console/bytes.js";
import { button, element, field, form, notice, section } from "/console/elements.js";
import { now } from "/console/hsm.js";

export function backupView({ hsm, go }) {
  const maker = hsm.is("Backup")
    ? section("Make a backup", form([element("p", { class: "soft" },
      "The file has all keys, users and settings, under the backup passphrase that an administrator sets.")],
    "Make and save a backup", (_, made) => make(hsm, made),
      { label: "Make a backup" }))
    : section("Make a backup", element("p", {}, "Sign in as a user with the role Backup."));
  const restorer = hsm.is("Backup") ? null : section("Restore", restoreForm(hsm));
  return element("div", {}, element("h1", {}, "Backup"), hsm.isSignedIn && maker, restorer,
    !hsm.isSignedIn && element("p", {}, button("Provision a new HSM instead", () => go(""))));
}

async function make(hsm, made) {
  const progress = element("progress", { "aria-label": "Progress" });
  made.append(progress);
  try {
    const response = await hsm.request("POST", "/system/backup");
    const parts = [];
    let size = 0;
    for (const reader = response.body.getReader(); ;) {
      const { done, value } = await reader.read();
      if (done) break;
      parts.push(value);
      size += value.length;
    }
    const name = `keystead-${new Date().toISOString().slice(0, 10)}.backup`;
    save(name, new Blob(parts));
    return notice("good", `The backup has ${size} bytes. Check it: keystead backup verify ${name}`);
  } finally {
    progress.remove();
  }
}

function restoreForm(hsm) {
  return form([
    hsm.state === "Operational" && notice("note",
      "Users, keys and namespaces of the backup replace those that are here."),
    field("Backup file", { name: "file", type: "file", required: true }),
    field("Backup passphrase", { name: "passphrase", type: "password", required: true }),
  ], "Restore", async ({ file, passphrase }, made) => {
    const progress = element("progress", { "aria-label": "Progress" });
    made.append(progress);
    try {
      await restore(hsm, file, passphrase);
    } finally {
      progress.remove();
      made.elements.passphrase.value = "";
    }
    await hsm.look();
    return notice("good", "The backup is restored.");
  }, { label: "Restore", danger: true });
}

async function restore(hsm, file, passphrase) {
  const isNew = hsm.state === "Unprovisioned";
  const given = { backupPassphrase: passphrase, ...(isNew && { systemTime: now() }) };
  await hsm.upload("POST", "/system/restore", given, "backup_file", file, { anonymous: isNew });
}
