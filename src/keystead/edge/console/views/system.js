// The machine: what it is, updates, restart and reset.

import { confirmed, element, facts, field, form, later, notice, section, withProgress } from "/console/elements.js";

export async function systemView({ hsm }) {
  const info = await hsm.get("/system/info");
  return element("div", {}, element("h1", {}, "System"),
    section("What it is", facts([["Version", info.softwareVersion], ["Build", info.softwareBuild],
      ["Firmware", info.firmwareVersion], ["Hardware", info.hardwareVersion], ["Device", info.deviceId]])),
    later("Update", () => update(hsm)),
    section("Run", action(hsm, "Lock", "/lock", "Keys cannot be used until someone unlocks the HSM."),
      action(hsm, "Reboot", "/system/reboot", "All connections end. The HSM comes back by itself."),
      action(hsm, "Shut down", "/system/shutdown", "Somebody has to start the HSM again by hand."),
      action(hsm, "Factory reset", "/system/factory-reset",
        "All keys, users and settings are destroyed.", "destroy")));
}

function action(hsm, name, path, meaning, word = "") {
  return form([element("p", { class: "soft" }, meaning)], name, async () => {
    if (!await confirmed(meaning, name, word)) return null;
    await hsm.request("POST", path);
    await hsm.look();
    return notice("good", `${name}: under way.`);
  }, { label: name, danger: true });
}

function update(hsm) {
  return form([field("Update image", { name: "file", type: "file", required: true })], "Upload",
    async ({ file }, made) => {
      const headers = { "Content-Type": "application/octet-stream" };
      const answer = await withProgress(made, (onProgress, signal) =>
        hsm.uploadFile("POST", "/system/update", file, { headers, onProgress, signal }));
      const { releaseNotes } = await answer.json();
      return element("div", {}, element("pre", {}, releaseNotes),
        form([], "Install this update", async () => {
          await hsm.request("POST", "/system/commit-update");
          return notice("good", "The update is installed; the HSM restarts.");
        }, { label: "Install" }),
        form([], "Drop this update", async () => {
          await hsm.request("POST", "/system/cancel-update");
          return notice("good", "The update is dropped.");
        }, { label: "Drop" }));
    }, { label: "Update" });
}
