// The page's frame: it shows the view that fits the HSM's state, the session and the address.

import { button, element, notice, shown } from "/console/elements.js";
import { Hsm } from "/console/hsm.js";
import { apiView } from "/console/views/api.js";
import { approvalsView } from "/console/views/approvals.js";
import { backupView } from "/console/views/backup.js";
import { dashboardView } from "/console/views/dashboard.js";
import { provisionView, unlockView } from "/console/views/first.js";
import { journalView } from "/console/views/journal.js";
import { keyView } from "/console/views/key.js";
import { keysView } from "/console/views/keys.js";
import { newKeyView } from "/console/views/new_key.js";
import { namespacesView } from "/console/views/namespaces.js";
import { settingsView } from "/console/views/settings.js";
import { signInView } from "/console/views/sign_in.js";
import { systemView } from "/console/views/system.js";
import { usersView } from "/console/views/users.js";

const LOOK_MILLISECONDS = 3000;
const PATIENCE_MILLISECONDS = 1000;

const ROWS = [
  { path: "", title: "Overview", view: dashboardView },
  { path: "keys", title: "Keys", view: keysView, roles: ["Administrator", "Operator"] },
  { path: "key", under: "keys", view: keyView, roles: ["Administrator", "Operator"] },
  { path: "new-key", under: "keys", view: newKeyView, roles: ["Administrator"] },
  { path: "approvals", title: "Approvals", view: approvalsView, needs: "/approvals",
    roles: ["Administrator", "Operator"] },
  { path: "users", title: "Users", view: usersView, roles: ["Administrator"] },
  { path: "namespaces", title: "Namespaces", view: namespacesView, roles: ["Administrator"], root: true },
  { path: "settings", title: "Settings", view: settingsView, roles: ["Administrator"], root: true },
  { path: "backup", title: "Backup", view: backupView, roles: ["Administrator", "Backup"], root: true },
  { path: "journal", title: "Journal", view: journalView, needs: "/journal",
    roles: ["Administrator", "Auditor"], root: true },
  { path: "system", title: "System", view: systemView, roles: ["Administrator"], root: true },
  { path: "api", title: "API", view: apiView },
];

const hsm = new Hsm();
const state = element("span", { class: "state", role: "status" });
const who = element("span", { class: "who" });
const menu = element("nav", { "aria-label": "Console" });
const lost = notice("bad", "The HSM cannot be reached now. This page looks again every few seconds.");
const main = element("main", { id: "main", tabindex: "-1" });
let stopView = () => {};
let showing = 0;
let isHeld = false;

/** Whether the signed-in user sees a row. */
function isOpen({ roles, root, needs }) {
  return (!roles || roles.includes(hsm.role)) && (!root || hsm.isRoot)
    && (!needs || hsm.has("GET", needs));
}

/** Goes to an address of the console, e.g. "key/signer"; shows it again if it is there already. */
function go(address) {
  if (location.hash === `#/${address}`) show();
  else location.hash = `#/${address}`;
}

function place() {
  const [path, ...rest] = location.hash.replace(/^#\/?/, "").split("/");
  return { path, given: rest.map(decoded) };
}

/** Returns a part of an address without its escapes; as it is, if these are not well-formed. */
function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

function chosenView() {
  const { path, given } = place();
  if (hsm.state === "Unreachable") return [unreachableView, []];
  if (path === "api") return [apiView, given];
  if (hsm.state === "Unprovisioned") return [path === "backup" ? backupView : provisionView, given];
  if (hsm.state === "Locked") return [unlockView, given];
  if (hsm.state === "Failed") return [failedView, given];
  if (!hsm.isSignedIn) return [signInView, given];
  const row = ROWS.find((one) => one.path === path && isOpen(one)) ?? ROWS[0];
  return [row.view, given];
}

/**
 * Keeps the view that is on the screen, whatever happens to the HSM, the session or the address,
 * until the returned function is called. For what is shown only once.
 */
function hold() {
  isHeld = true;
  window.addEventListener("beforeunload", askToStay);
  return () => {
    isHeld = false;
    window.removeEventListener("beforeunload", askToStay);
    if (main.dataset.shown !== reasonToShow()) show();
  };
}

/** Gives a dropped file to the form below the pointer; the browser would leave the page for it. */
function takeFile(event) {
  event.preventDefault();
  const [field, form] = [".field", "form"].map((name) => event.target.closest?.(name)
    ?.querySelector("input[type=file]"));
  const input = field ?? form;
  if (input && event.dataTransfer.files.length) input.files = event.dataTransfer.files;
}

function askToStay(event) { event.preventDefault(); }

/** Returns what the choice of a view depends on, as a text. */
function reasonToShow() { return [hsm.state, hsm.user, location.hash.replace(/^#\/?/, "")].join(" "); }

async function show() {
  drawFrame();
  if (isHeld) return;
  document.querySelector("dialog")?.close(""); // What it asks about is no longer shown.
  const turn = ++showing;
  stopView();
  stopView = () => {};
  const reason = reasonToShow();
  const [view, given] = chosenView();
  const onStop = (stop) => {
    const others = stopView;
    if (turn === showing) stopView = () => { others(); stop(); };
    else stop();
  };
  const late = setTimeout(() => { // Nobody shall take what was shown before for what was asked for.
    if (turn === showing) main.replaceChildren(notice("note", "The HSM has not answered yet."));
  }, PATIENCE_MILLISECONDS);
  const made = await shown(() => view({ hsm, go, hold, onStop }, ...given));
  clearTimeout(late);
  if (turn !== showing) return;
  main.replaceChildren(made);
  if (main.dataset.shown !== reason) scrollTo(0, 0);
  if (document.activeElement === document.body) // What had the focus is gone.
    (main.querySelector("[autofocus]") ?? main).focus({ preventScroll: true });
  main.dataset.shown = reason;
  const heading = main.querySelector("h1");
  document.title = heading ? `${heading.textContent} – Keystead` : "Keystead";
}

function drawFrame() {
  state.textContent = hsm.state || "…";
  state.dataset.state = hsm.state;
  who.replaceChildren(...(hsm.isSignedIn
    ? [`${hsm.user} (${hsm.role}) `, button("Sign out", () => hsm.signOut())] : []));
  const rows = hsm.isSignedIn ? ROWS.filter((row) => row.title && isOpen(row)) : [];
  const { path: shownPath } = place();
  const here = ROWS.find((row) => row.path === shownPath)?.under ?? shownPath;
  menu.replaceChildren(element("ul", {}, rows.map(({ path, title }) => element("li", {},
    element("a", { href: `#/${path}`, "aria-current": path === here ? "page" : null,
      onclick: () => { if (path === shownPath) show(); } }, title)))));
  menu.hidden = rows.length === 0;
}

function unreachableView() {
  return element("div", {}, element("h1", {}, "The HSM cannot be reached"),
    notice("bad", "It is off, restarting, or not on this network."),
    element("p", {}, "This page looks again every few seconds and goes on by itself."));
}

function failedView() {
  return element("div", {}, element("h1", {}, "The HSM has failed"),
    notice("bad", "Its store or its self-tests failed. Keys cannot be used."),
    element("p", {}, "The log of the server says why. ", element("code", {}, "keystead doctor"),
      " on the server names what is missing. This page goes on when the HSM is back."));
}

document.body.append(
  element("a", { class: "skip", href: "#main", onclick: (event) => {
    event.preventDefault();
    main.focus();
  } }, "Skip to the content"),
  element("header", {}, element("span", { class: "name" }, "Keystead"), state, who), menu, lost, main);

for (const name of ["state", "session"]) hsm.addEventListener(name, show);
lost.hidden = true;
hsm.addEventListener("reach", () => { lost.hidden = hsm.isReachable; });
hsm.addEventListener("look", () => hsm.look());
hsm.addEventListener("idle", () => {
  for (const input of main.querySelectorAll("[type=password], [name=share]")) input.value = "";
});
window.addEventListener("hashchange", show);
window.addEventListener("dragover", (event) => event.preventDefault());
window.addEventListener("drop", takeFile);
for (const name of ["pointerdown", "keydown"])
  window.addEventListener(name, () => hsm.noteUse(), { passive: true });
window.addEventListener("pagehide", () => hsm.signOut()); // The browser may keep a page that was left, to go back to.
setInterval(() => { hsm.forgetIfIdle(); hsm.look(); }, LOOK_MILLISECONDS);
await hsm.look();
