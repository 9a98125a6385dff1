// The API's client: one session, in this page's memory alone.

import { toBase64, toUtf8 } from "/console/bytes.js";
import { uploaded } from "/console/upload.js";

const API = "/api/v1";
const BOUNDARY = "keystead-console-part";
const STOPPED = "It was stopped.";
/** How often a change is tried that uses of a key come between. */
const MOST_TRIES = 10;
const IDLE_MILLISECONDS = 15 * 60 * 1000;

/** An answer that is not the one wanted, or none at all: then `status` is 0. */
export class Refused extends Error {
  constructor(status, message, retryAfter = 0, body = {}) {
    super(message);
    this.status = status;
    this.retryAfter = retryAfter;
    this.body = body;
  }
}

/** Who is signed in. Passphrases are in `#authorization` and nowhere else. */
export class Hsm extends EventTarget {
  #authorization = "";
  #lastUse = Date.now();
  #looking = null;
  state = "";
  isReachable = true;
  user = "";
  role = "";
  description = null;
  /** Whether the HSM no longer takes the passphrase. Each further request would count as a failed login. */
  isRefused = false;

  get isSignedIn() { return this.#authorization !== ""; }
  get namespace() { return this.user.includes("~") ? this.user.split("~")[0] : ""; }
  get isRoot() { return this.namespace === ""; }

  /** Whether the server has an operation, as its description says. */
  has(method, path) {
    return this.description?.paths?.[path]?.[method.toLowerCase()] !== undefined;
  }

  /** Whether the signed-in user has one of these roles. */
  is(...roles) { return roles.includes(this.role); }

  /** Throws Refused when the passphrase is wrong or the user is locked out. */
  async signIn(user, passphrase) {
    this.#authorization = `Basic ${toBase64(toUtf8(`${user}:${passphrase}`))}`;
    this.user = user;
    this.isRefused = false;
    this.#lastUse = Date.now();
    try {
      this.role = await this.#findRole(user);
    } catch (error) {
      this.#authorization = this.user = "";
      throw error;
    }
    this.dispatchEvent(new Event("session"));
  }

  async #findRole(user) {
    try {
      return (await this.get(`/users/${segment(user)}`)).role;
    } catch (error) {
      if (error.status !== 403) throw error;
    }
    // These roles may not ask for themselves; what they may do tells them apart.
    for (const [path, role] of [["/metrics", "Metrics"], ["/journal/head", "Auditor"]]) {
      try {
        await this.get(path);
        return role;
      } catch (error) {
        if (![403, 404].includes(error.status)) throw error;
      }
    }
    return "Backup";
  }

  signOut() {
    const was = this.isSignedIn;
    this.#authorization = this.user = this.role = "";
    if (was) this.dispatchEvent(new Event("session"));
  }

  /** Forgets the passphrase after 15 minutes without use; without a session, it tells so by "idle". */
  forgetIfIdle() {
    if (Date.now() - this.#lastUse <= IDLE_MILLISECONDS) return;
    if (this.isSignedIn) this.signOut();
    else this.dispatchEvent(new Event("idle"));
  }

  /** A computer that slept may be used again before its timers have run. */
  noteUse() {
    this.forgetIfIdle();
    this.#lastUse = Date.now();
  }

  /** Returns the Response; throws Refused for every status of 400 and above. */
  async request(method, path, options = {}) {
    const { json, body, headers = {}, signal, anonymous = false, onProgress } = options;
    if (!anonymous && !this.isSignedIn) throw new Refused(401, "You are signed out.");
    const sent = new Headers(headers);
    if (json !== undefined) sent.set("Content-Type", "application/json");
    if (this.#authorization && !anonymous) sent.set("Authorization", this.#authorization);
    let response;
    try {
      response = onProgress
        ? await uploaded(API + path, { method, headers: sent, body, signal, onProgress: this.#inUse(onProgress) })
        : await fetch(API + path, { method, headers: sent, signal, credentials: "omit", cache: "no-store",
          redirect: "error", body: json === undefined ? body : JSON.stringify(json) });
    } catch {
      throw new Refused(0, signal?.aborted ? STOPPED : "The HSM cannot be reached.");
    }
    if (response.ok) return response;
    throw await this.#refusal(response, anonymous);
  }

  /** Returns `tell`, which is a use of the page too: someone waits for the end of what it tells of. */
  #inUse(tell) {
    return (...progress) => {
      this.#lastUse = Date.now();
      tell(...progress);
    };
  }

  async #refusal(response, anonymous) {
    const text = await whole(response.text());
    let body = {};
    try { body = JSON.parse(text) ?? {}; } catch { /* a text as it is */ }
    let message = body.message ?? text;
    const retryAfter = Number(response.headers.get("Retry-After")) || 0;
    if (response.status === 412 && !anonymous) this.dispatchEvent(new Event("look"));
    if (response.status === 412 && /If-(None-)?Match|since it was compared/.test(message))
      message = "Someone has changed it since it was shown here. Open it again to see it as it is.";
    if (response.status === 401 && !anonymous && this.role) {
      this.isRefused = true;
      message += " Sign in again.";
    }
    if (retryAfter) message += ` Try again in ${retryAfter} s.`;
    return new Refused(response.status, message || `The HSM answered ${response.status}.`, retryAfter, body);
  }

  async get(path, options) { return whole((await this.request("GET", path, options)).json()); }
  async text(path, options) { return whole((await this.request("GET", path, options)).text()); }

  /** Sends JSON; returns the answer's JSON, or null where there is none. */
  async send(method, path, json, options = {}) {
    const response = await this.request(method, path, { json, ...options });
    const text = await whole(response.text());
    return text ? JSON.parse(text) : null;
  }

  /**
   * Returns { value, change, remove }: a JSON document, {} if there is none, and functions that
   * replace and remove it unless someone has changed it since it was read.
   */
  async document(path) {
    const read = await this.#read(path);
    const change = async (wanted) => {
      await this.#unlessChanged(path, read, (headers) => this.send("PUT", path, wanted, { headers }));
      const now = await this.#read(path).catch(() => null);
      if (now && isPartOf(wanted, now.value)) Object.assign(read, now);
    };
    const remove = () => this.#unlessChanged(path, read, (headers) => this.request("DELETE", path, { headers }));
    return { value: read.value, change, remove };
  }

  /**
   * Does `act` with the condition that nobody has changed what was `read`. Each use that a policy
   * counts changes its tag: that is no change of anyone, and `act` is done with the new tag.
   */
  async #unlessChanged(path, read, act) {
    for (let tries = 1; ; tries++) {
      try {
        return await act(read.condition);
      } catch (error) {
        if (error.status !== 412) throw error;
        const now = await this.#read(path);
        if (!("usesLeft" in now.value) || withoutCount(now.value) !== withoutCount(read.value)) throw error;
        if (tries === MOST_TRIES) throw new Refused(412, "The key is being used all the time. Try again.");
        read.condition = now.condition;
      }
    }
  }

  async #read(path) {
    try {
      const response = await this.request("GET", path);
      const value = await whole(response.json());
      const tag = response.headers.get("ETag");
      // A proxy may weaken tags.
      return { value, condition: tag?.startsWith('"') ? { "If-Match": tag } : {} };
    } catch (error) {
      if (error.status !== 404) throw error;
      return { value: {}, condition: { "If-None-Match": "*" } };
    }
  }

  /** Returns a long answer as a Blob; `onProgress` is told how many bytes are here. */
  async download(method, path, { signal, onProgress }) {
    const response = await this.request(method, path, { signal });
    const tell = this.#inUse(onProgress);
    const parts = [];
    let size = 0;
    for (const reader = response.body.getReader(); ;) {
      const { done, value } = await whole(reader.read(), signal);
      if (done) return new Blob(parts);
      parts.push(value);
      size += value.length;
      tell(size);
    }
  }

  /**
   * Gives `take` each line of a long text as it comes, one after the other: nothing holds the whole.
   * `onProgress` is told how many bytes are here.
   */
  async eachLine(path, take, { signal, onProgress }) {
    const response = await this.request("GET", path, { signal });
    const tell = this.#inUse(onProgress);
    const decoder = new TextDecoder();
    let [rest, size] = ["", 0];
    for (const reader = response.body.getReader(); ;) {
      const { done, value } = await whole(reader.read(), signal);
      const lines = (rest + decoder.decode(value, { stream: !done })).split("\n");
      rest = done ? "" : lines.pop();
      for (const line of lines.filter(Boolean)) await take(line);
      if (done) return;
      size += value.length;
      tell(size);
    }
  }

  /**
   * Sends a file, and tells `onProgress` how much has gone. Before that, the HSM is asked whether it
   * still knows the user: browsers would answer its refusal of an upload with a window of their own.
   */
  async uploadFile(method, path, body, { anonymous, signal, ...options }) {
    if (!anonymous) await this.get("/system/info", { signal });
    return this.request(method, path, { ...options, anonymous, signal, body });
  }

  /** Sends a form of two parts: JSON under the name `arguments`, and a file; returns the Response. */
  async upload(method, path, json, name, file, options = {}) {
    const part = (field) => `--${BOUNDARY}\r\nContent-Disposition: form-data; name="${field}"\r\n\r\n`;
    const body = new Blob([part("arguments"), JSON.stringify(json), "\r\n",
      part(name), file, `\r\n--${BOUNDARY}--\r\n`]);
    const headers = { "Content-Type": `multipart/form-data; boundary=${BOUNDARY}` };
    return options.onProgress ? this.uploadFile(method, path, body, { ...options, headers })
      : this.request(method, path, { ...options, body, headers });
  }

  /**
   * Updates `state` and `isReachable`. While the HSM cannot be reached its last state stays, so that
   * nobody loses what is half typed; "Unreachable" is the state if it never was. Looks once at a time.
   */
  async look() {
    this.#looking ??= this.#look().finally(() => { this.#looking = null; });
    return this.#looking;
  }

  async #look() {
    let state = this.state || "Unreachable";
    let isReachable = true;
    try {
      state = (await this.get("/health/state", { anonymous: true,
        signal: AbortSignal.timeout(10_000) })).state;
      this.description ??= await this.get("/openapi.json", { anonymous: true });
    } catch (error) {
      isReachable = error.status === 500;
      if (isReachable) state = "Failed";
    }
    this.isReachable = isReachable;
    this.dispatchEvent(new Event("reach"));
    if (isReachable && state !== "Operational") this.signOut();
    if (state === this.state) return;
    this.state = state;
    this.dispatchEvent(new Event("state"));
  }
}

/** Returns what is read of an answer; throws Refused if the connection or the time ends before. */
async function whole(reading, signal) {
  try {
    return await reading;
  } catch {
    throw new Refused(0, signal?.aborted ? STOPPED : "The HSM's answer did not arrive whole.");
  }
}

/** Returns the browser's time as the API takes it: RFC 3339, UTC, whole seconds. */
export const now = () => `${new Date().toISOString().slice(0, 19)}Z`;

/** Returns a policy as a text, without the number of uses that are left. */
const withoutCount = ({ usesLeft, ...rules }) => JSON.stringify(rules);

/** Whether each field of an object has the same value in another one. */
const isPartOf = (fields, all) => Object.entries(fields)
  .every(([name, value]) => JSON.stringify(value) === JSON.stringify(all[name]));

/**
 * Returns a path's segment, with every character that has a meaning in a URL escaped. Throws an
 * error for "." and "..": a browser takes them for a way up, escaped or not.
 */
export function segment(text) {
  if (text === "." || text === "..") throw new Error(`There is nothing with the name ${text}`);
  return encodeURIComponent(text);
}
