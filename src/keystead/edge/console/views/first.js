// What comes before the first sign-in: provisioning and unlocking.

import { save } from "/console/bytes.js";
import { button, check, element, field, form, notice, requireSame } from "/console/elements.js";
import { now } from "/console/hsm.js";

const SHORTEST = 10;

/** Returns a passphrase's input, to be typed twice, and a meter of its length and variety. */
function newPassphrase(label, name, hint) {
  const meter = element("meter", { min: 0, max: 100, low: 40, high: 70, optimum: 100, value: 0,
    "aria-label": `Strength of the ${label.toLowerCase()}` });
  const strength = element("span", { class: "soft" }, "Strength");
  return [
    field(label, { name, type: "password", required: true, minlength: SHORTEST, maxlength: 200,
      autocomplete: "new-password", oninput: (event) => {
        const bits = bitsOf(event.target.value);
        meter.value = bits;
        strength.textContent = `Strength: ${bits < 40 ? "weak" : bits < 70 ? "fair" : "strong"}`;
      } },
    hint),
    element("p", {}, meter, " ", strength),
    field(`${label} again`, { name: `${name}Again`, type: "password", required: true,
      autocomplete: "new-password" }),
  ];
}

/** Returns a rough upper bound on the bits that guessing takes: letters used, not words known. */
function bitsOf(text) {
  const kinds = [[/[a-z]/, 26], [/[A-Z]/, 26], [/[0-9]/, 10], [/[^a-zA-Z0-9]/, 33]];
  const letters = kinds.reduce((sum, [kind, count]) => sum + (kind.test(text) ? count : 0), 0);
  const different = new Set(text).size;
  return Math.min(different * 1.5, text.length) * Math.log2(letters || 1);
}

/** Whether the server can split the unlock passphrase into shares. */
function hasShares(hsm) {
  const wanted = hsm.description?.components?.schemas?.ProvisionRequest;
  return wanted?.properties?.unlockShares !== undefined;
}

export function provisionView(console) {
  const { hsm, go } = console;
  const passphrases = element("div", {}, newPassphrase("Unlock passphrase", "unlock",
    "It opens the store after each start. Nobody can help if it is lost."));
  const shares = element("div", { class: "row", hidden: true },
    field("Shares in all", { name: "shares", type: "number", min: 2, max: 16, value: "3" }),
    field("Shares needed to unlock", { name: "threshold", type: "number", min: 2, max: 16, value: "2" }));
  const split = hasShares(hsm) && check("Split it among several people instead", "isSplit", {
    onchange: (event) => {
      shares.hidden = !event.target.checked;
      passphrases.hidden = event.target.checked;
      for (const input of passphrases.querySelectorAll("input")) input.required = !event.target.checked;
    } });
  return element("div", {}, element("h1", {}, "A new HSM"),
    element("p", {}, "It has no keys and no users yet. Choose who opens it and who administers it; "
      + "after you sign in, a list says what remains to be done."),
    element("section", {}, form([passphrases, split, shares,
      newPassphrase("Administrator's passphrase", "admin", "The first user is called admin."),
      element("p", { class: "soft" }, `The HSM's clock will be set to this browser's: ${new Date().toISOString()}`),
    ], "Provision", (values, made) => provision(console, values, made), { label: "Provision" })),
    element("p", {}, button("Restore a backup instead", () => go("backup"))));
}

async function provision({ hsm, hold }, values, made) {
  if (!values.isSplit) requireSame(values.unlock, values.unlockAgain);
  requireSame(values.admin, values.adminAgain);
  const wanted = values.isSplit
    ? { unlockShares: { threshold: Number(values.threshold), shares: Number(values.shares) } }
    : { unlockPassphrase: values.unlock };
  const release = hold(); // The HSM may be seen in its new state before the shares are here.
  try {
    const answer = await hsm.send("POST", "/provision", { ...wanted,
      adminPassphrase: values.admin, systemTime: now() }, { anonymous: true });
    if (answer) {
      made.replaceChildren(sharesOnce(answer.shares ?? answer.unlockShares, release));
      return null;
    }
  } catch (error) {
    if (values.isSplit && error.status === 0) return sharesLost(release);
    release();
    throw error;
  }
  await hsm.look();
  release();
  return null;
}

function sharesOnce(shares, release) {
  return element("div", {},
    notice("note", "These shares are shown once. Give each to another person, on paper."),
    element("ol", {}, shares.map((share, index) => element("li", {}, element("code", {}, share),
      " ", button("Save", () => save(`keystead-share-${index + 1}.txt`, `${share}\n`))))),
    button("The shares are kept", release, { class: "main" }));
}

function sharesLost(release) {
  return element("div", {},
    notice("bad", "The HSM's answer, with the shares, did not arrive. If the HSM is provisioned now, nobody has "
      + "its shares: sign in, reset it to factory settings, and provision it again."),
    button("Go on", release));
}

/**
 * Returns a check box that shows itself once the HSM has said that its store is an older one. Its
 * `code` acknowledges what the HSM has said last.
 */
function olderStore() {
  const box = check("The older store is there on purpose: open it", "isAcknowledged");
  box.hidden = true;
  return box;
}

async function unlock(hsm, given, { isAcknowledged }, older) {
  const body = isAcknowledged ? { ...given, acknowledgeRollback: older.code } : given;
  try {
    return await hsm.send("POST", "/unlock", body, { anonymous: true });
  } catch (error) {
    const code = error.body?.acknowledgeRollback;
    if (code) {
      older.hidden = false;
      older.code = code;
    }
    throw error;
  }
}

/** Runs `give()` and empties the form, but keeps the input if the HSM has not looked at it yet. */
async function judged(made, name, give) {
  const input = made.elements[name];
  const typed = input.value;
  made.reset();
  try {
    return await give();
  } catch (error) {
    if ([0, 429, 503].includes(error.status)) input.value = typed;
    throw error;
  }
}

export function unlockView({ hsm }) {
  const [older, olderWithShares] = [olderStore(), olderStore()];
  return element("div", {}, element("h1", {}, "Locked"),
    element("p", {}, "Keys can be used again when the HSM has its unlock passphrase, or enough of its shares."),
    element("section", {}, form([
      field("Unlock passphrase", { name: "passphrase", type: "password", required: true,
        autocomplete: "off", autofocus: true }),
      older,
    ], "Unlock", async ({ passphrase, ...values }, made) => {
      await judged(made, "passphrase", () => unlock(hsm, { passphrase }, values, older));
      await hsm.look();
    }, { label: "Unlock" })),
    hasShares(hsm) && element("section", {}, element("h2", {}, "With shares"), form([
      field("Share", { name: "share", required: true }),
      olderWithShares,
    ], "Give this share", async ({ share, ...values }, made) => {
      const answer = await judged(made, "share", () => unlock(hsm, { share }, values, olderWithShares));
      if (answer) return notice("good", `${answer.have} of ${answer.need} shares are here.`);
      await hsm.look();
      return null;
    }, { label: "Unlock with shares" })));
}
