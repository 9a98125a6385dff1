// The overview: what remains to be done, and live figures where a user may read them.

import { counted, element, facts, field, form, moment, notice, section, shown, table } from "/console/elements.js";
import { fromPem } from "/console/bytes.js";
import { readCertificate } from "/console/der.js";
import { Hsm, segment } from "/console/hsm.js";

const DIAGNOSIS = "/health/diagnose?details=true";
const CLUSTER_MILLISECONDS = 3000;
const SAMPLE_MILLISECONDS = 2000;
const SAMPLES_KEPT = 150;
const MOST_PLOTS = 7;
const ENTRIES_READ = 2000;
const ANSWERS = "http response total";
const TIME = "http response time";
const TITLES = { [ANSWERS]: "Answers", "kv write": "Records written", generate: "Keys generated",
  sign: "Signatures", decrypt: "Decryptions", encrypt: "Encryptions" };

/** What users of a role do here, with its address. */
const FIRST_STEPS = {
  Operator: [["#/keys", "Choose a key to sign and verify files with"]],
  Backup: [["#/backup", "Make a backup"]],
  Auditor: [["#/journal", "Read and verify the journal"]],
};

let metricsUser = null;

export async function dashboardView({ hsm, go, onStop }) {
  const parts = [element("h1", {}, "Overview")];
  if (hsm.is("Administrator") && hsm.isRoot) {
    const asked = { certificate: tlsCertificate(hsm), diagnosis: hsm.get(DIAGNOSIS), onStop };
    parts.push(...await Promise.all([checklist, device, cluster, lockouts]
      .map((part) => shown(() => part(hsm, asked)))));
  }
  parts.push(...(FIRST_STEPS[hsm.role] ?? []).map(([where, text]) =>
    element("p", {}, element("a", { href: where }, text))));
  if (hsm.is("Metrics")) parts.push(live(hsm, onStop));
  else parts.push(metricsSignIn(onStop));
  hsm.addEventListener("session", () => { metricsUser = null; }, { once: true });
  return element("div", {}, parts);
}

async function tlsCertificate(hsm) {
  return readCertificate(fromPem(await hsm.text("/config/tls/cert.pem"), "CERTIFICATE"));
}

async function checklist(hsm, { certificate, diagnosis }) {
  const [users, boot, tls, recent, { warnings }] = await Promise.all([hsm.get("/users"),
    hsm.get("/config/unattended-boot"), certificate, recentEntries(hsm), diagnosis]);
  const roles = await rolesOf(hsm, users);
  const hasDone = (wanted) => recent.some(({ action }) => action === wanted);
  const backup = recent.findLast(({ action }) => action === "POST /system/backup");
  const items = [
    ["An operator, who uses keys", roles.includes("Operator"), "#/users"],
    ["A user for backups", roles.includes("Backup"), "#/users"],
    ["A user for monitoring (role Metrics)", roles.includes("Metrics"), "#/users"],
    hsm.has("GET", "/journal") && ["An auditor, who reads the journal", roles.includes("Auditor"), "#/users"],
    ["A backup passphrase", Boolean(backup) || hasDone("PUT /config/backup-passphrase"),
      "#/settings/Backup passphrase"],
    [backup ? ["A backup: the last one was made on ", moment(backup.time)] : "A first backup",
      Boolean(backup), "#/backup"],
    ["A TLS certificate of your authority's", tls.issuer !== tls.subject, "#/settings/TLS certificate"],
    [`A decision about unattended boot, which is ${boot.status}`,
      boot.status === "on" || hasDone("PUT /config/unattended-boot"), "#/settings/Unattended boot"],
  ].filter(Boolean);
  return section("What remains", element("ul", { class: "todo" }, items.map(([text, done, where]) =>
    element("li", { class: done ? "done" : null }, element("a", { href: where }, text),
      element("span", { class: "soft" }, done ? " – done" : " – open")))),
  element("p", {}, "On its machine, ", element("code", {}, "keystead doctor"),
    warnings.length ? " warned when the server started:" : " had no warning when the server started."),
  warnings.length > 0 && element("ul", { class: "todo" }, warnings.map((text) => element("li", {}, text))));
}

/** Returns the newest entries of the journal that worked, if the server has one. */
async function recentEntries(hsm) {
  if (!hsm.has("GET", "/journal")) return [];
  const { n } = await hsm.get("/journal/head");
  const text = await hsm.text(`/journal?from=${Math.max(1, n - ENTRIES_READ)}&limit=${ENTRIES_READ + 1}`);
  return text.split("\n").filter(Boolean).map((line) => JSON.parse(line))
    .filter(({ outcome }) => outcome?.startsWith("2"));
}

/** Returns the roles of the first users: the list does not have them. */
async function rolesOf(hsm, users) {
  const some = users.slice(0, 50);
  const found = await Promise.all(some.map(async ({ user }) =>
    (await hsm.get(`/users/${segment(user)}`)).role));
  return found;
}

async function device(hsm, { certificate, diagnosis }) {
  const [info, time, tls, { clusterLogs }] = await Promise.all([
    hsm.get("/system/info"), hsm.get("/config/time"), certificate, diagnosis]);
  const days = Math.floor((tls.notAfter - Date.now()) / 86_400_000);
  const drift = Math.round((new Date(time.time) - Date.now()) / 1000);
  return section("This HSM", clusterLogs.map(({ msg }) => notice("bad", msg)),
    days < 30 && notice("bad", `The TLS certificate ends in ${days} days.`),
    Math.abs(drift) > 60 && notice("bad", `Its clock differs from this browser's by ${drift} s.`),
    facts([
      ["Version", info.softwareVersion], ["Device", info.deviceId],
      ["Time", moment(time.time)],
      ["TLS certificate", tls.subject], ["… ends", moment(tls.notAfter)],
    ]));
}

/** Shows the members of a cluster, and what changes about them until the view is left. */
async function cluster(hsm, { diagnosis, onStop }) {
  if (!hsm.has("GET", "/cluster/members")) return null;
  const place = element("div", {});
  const draw = async (asked) => {
    const now = await shown(() => members(hsm, asked));
    if (now.textContent !== place.textContent) place.replaceChildren(now);
  };
  await draw(diagnosis);
  if (place.childNodes.length) {
    repeat(hsm, CLUSTER_MILLISECONDS, () => draw(hsm.get(DIAGNOSIS)), onStop);
  }
  return place;
}

/** Repeats `work` until the view is left. It waits for a slow HSM, and asks none that has refused the passphrase. */
function repeat(hsm, milliseconds, work, onStop) {
  let isAsking = false;
  const timer = setInterval(async () => {
    if (isAsking || hsm.isRefused) return;
    isAsking = true;
    try { await work(); } finally { isAsking = false; }
  }, milliseconds);
  onStop(() => clearInterval(timer));
}

async function members(hsm, diagnosis) {
  const [list, { clusterMembers = [] }] = await Promise.all([hsm.get("/cluster/members"), diagnosis]);
  if (list.length < 2) return null;
  const states = new Map(clusterMembers.map((one) => [one.id, one]));
  const hasNoLeader = states.size > 0 && !clusterMembers.some(({ leader }) => leader);
  return section("Cluster",
    hasNoLeader && notice("bad", "No member leads: requests wait until a majority has elected one."),
    element("p", { class: "soft" }, "As this HSM sees it."),
    table(["Member", "Role", "State", "Addresses"], list.map((one) => [one.name || "has not started yet",
      roleOf(one, states.get(one.id)), stateOf(one, states.get(one.id)), one.urls.join(" ")]), "Members"));
}

function roleOf({ learner }, state) {
  if (learner) return "learner";
  return state && (state.leader ? "leader" : "follower");
}

/** Returns how a member is, in words; `state` is undefined if the HSM does not say. */
function stateOf({ learner }, state) {
  if (!state) return "unknown";
  if (state.own) return state.behind ? `this HSM, ${counted(state.behind, "change")} behind` : "this HSM, up to date";
  if (!state.connected) return "not reachable: it is behind until it is back";
  return learner ? "connected: it gets the records" : "connected";
}

async function lockouts(hsm) {
  const list = await hsm.get("/health/lockouts");
  return section("Failed logins", list.length === 0 ? element("p", {}, "None recently.") : table(
    ["User", "From", "Failed", "Refused", "Last", "Locked out"],
    list.map((one) => [one.user, one.address, one.failed, one.refused, moment(one.lastFailure),
      one.lockedOut ? "yes" : "no"]), "Failed logins"));
}

function metricsSignIn(onStop) {
  const place = element("div", {});
  const open = (reader) => place.replaceChildren(live(reader, onStop));
  if (metricsUser?.isSignedIn) {
    open(metricsUser);
    return place;
  }
  place.append(section("Live figures", element("p", {},
    "Figures are for users with the role Metrics. Sign such a user in beside you:"),
  form([
    field("Metrics user", { name: "user", required: true }),
    field("Passphrase", { name: "passphrase", type: "password", required: true }),
  ], "Show figures", async ({ user, passphrase }) => {
    const reader = new Hsm();
    await reader.signIn(user, passphrase);
    if (!reader.is("Metrics")) {
      reader.signOut();
      throw new Error("This user does not have the role Metrics.");
    }
    metricsUser = reader;
    open(reader);
  }, { label: "Show figures" })));
  return place;
}

/** Draws the metrics of the last minutes, until the view is left. */
function live(reader, onStop) {
  const samples = [];
  const plots = element("div", { class: "plots" });
  const rest = element("div", {});
  const all = element("div", {}, "None has arrived yet.");
  const take = async () => {
    try {
      const values = await reader.get("/metrics");
      const text = await reader.text("/metrics", { headers: { Accept: "text/plain" } });
      const figures = figuresOf(text);
      const of = (name) => Number(new Map(figures).get(`keystead_http_response_seconds_${name}`));
      samples.push({ at: Date.now(), values, queue: queueOf(figures), count: of("count"), seconds: of("sum") });
      rest.replaceChildren(counts(figures, all));
    } catch (error) {
      rest.replaceChildren(notice("bad", error.message));
      return;
    }
    if (samples.length > SAMPLES_KEPT) samples.shift();
    draw(plots, samples);
  };
  const first = take();
  repeat(reader, SAMPLE_MILLISECONDS, async () => { await first; await take(); }, onStop);
  return section("Live figures", plots, rest,
    element("details", {}, element("summary", {}, "All figures"), all));
}

/** Returns the names and values of an exposition for Prometheus, without those of histograms. */
function figuresOf(text) {
  const lines = text.split("\n").filter((line) => line && !line.startsWith("#") && !line.includes("_bucket{"));
  return lines.map((line) => [line.slice(0, line.lastIndexOf(" ")), line.slice(line.lastIndexOf(" ") + 1)]);
}

/** Returns how many slow operations wait for a thread, or run. */
function queueOf(figures) {
  return figures.filter(([name]) => name.startsWith("keystead_work_under_way{"))
    .reduce((sum, [, value]) => sum + Number(value), 0);
}

/** Returns what is wrong, the free space, and all figures in a part that stays as it is, open or not. */
function counts(figures, all) {
  const value = new Map(figures);
  const free = value.get("keystead_store_free_bytes");
  all.replaceChildren(table(["Figure", "Value"],
    figures.map(([name, number]) => [element("code", {}, name), number]), "All figures"));
  return element("div", {}, value.get("keystead_store_writable") === "0"
    && notice("bad", "The store cannot be written: the disk is full or has failed."),
  free && facts([["Free space for the store", `${(free / 2 ** 30).toFixed(1)} GiB`]]));
}

/** Draws the mean time of an answer, and each counter that changed in these minutes as a rate. */
function draw(plots, samples) {
  if (samples.length < 2) return;
  const [first, last] = [samples[0].values, samples.at(-1).values];
  const names = Object.keys(last).filter((name) => name !== "uptime" && name !== TIME
    && last[name] !== first[name]).slice(0, MOST_PLOTS);
  const pairs = samples.slice(1).map((sample, index) => [samples[index], sample]);
  plots.replaceChildren(
    plot("Mean time of an answer", pairs.map(meanMilliseconds), "ms"),
    plot("Slow operations that wait or run", samples.map(({ queue }) => queue), ""),
    ...names.map((name) => plot(TITLES[name] ?? name.replace("http response", "Answers with"), pairs.map((pair) => rate(name, ...pair)), "/s")));
}

function rate(name, before, after) {
  return (after.values[name] - before.values[name]) / ((after.at - before.at) / 1000);
}

function meanMilliseconds([before, after]) {
  const answers = after.count - before.count;
  return answers ? 1000 * (after.seconds - before.seconds) / answers : 0;
}

/** Draws values of these minutes; `unit` also says how many digits they have. */
function plot(name, points, unit) {
  const digits = { "ms": 2, "/s": 1, "": 0 }[unit];
  const said = (value) => `${value.toFixed(digits)} ${unit}`.trim();
  const now = said(points.at(-1));
  const canvas = element("canvas", { width: 480, height: 144, role: "img", "aria-label": `${name}: ${now} now` });
  const pen = canvas.getContext("2d");
  const most = Math.max(0, ...points);
  const high = Math.max(1, most);
  pen.strokeStyle = getComputedStyle(document.body).color;
  pen.lineWidth = 2;
  pen.beginPath();
  points.forEach((point, index) =>
    pen.lineTo(480 * (index / Math.max(1, points.length - 1)), 140 - 132 * (Math.max(0, point) / high)));
  pen.stroke();
  return element("figure", {}, canvas, element("figcaption", {}, `${name}: ${now}, at most ${said(most)}`));
}
