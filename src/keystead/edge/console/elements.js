// Builds the page. A text from the server only ever becomes a text node or an attribute's value.

/** Returns a new element; `children` are nodes, texts, lists of them, or nothing. */
export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (key in made && typeof value !== "string") made[key] = value;
    else made.setAttribute(key, value === true ? "" : String(value));
  }
  made.append(...children.flat(Infinity).filter((child) => child || child === 0));
  return made;
}

let numbered = 0;

/** Returns a labelled input in a paragraph. `attributes.name` is the input's name. */
export function field(label, attributes = {}, hint = "") {
  const id = `field-${++numbered}`;
  const described = hint ? `${id}-hint` : undefined;
  return element("p", { class: "field" },
    element("label", { for: id }, label),
    element("input", { type: "text", id, autocomplete: "off", spellcheck: "false",
      "aria-describedby": described, ...attributes }),
    hint && element("small", { id: described }, hint));
}

/** Returns a labelled list to choose one of; `options` are values or pairs of value and text. */
export function choice(label, name, options, chosen, attributes = {}) {
  const id = `field-${++numbered}`;
  const made = options.map((option) => {
    const [value, text] = Array.isArray(option) ? option : [option, option];
    return element("option", { value, selected: value === chosen }, text);
  });
  return element("p", { class: "field" },
    element("label", { for: id }, label), element("select", { id, name, ...attributes }, made));
}

/** Returns a labelled check box. */
export function check(label, name, attributes = {}) {
  return element("label", { class: "check" },
    element("input", { type: "checkbox", name, ...attributes }), " ", label);
}

/** Returns a labelled text of several lines, `value` at first. */
export function area(label, name, { value = "", ...attributes } = {}) {
  const id = `field-${++numbered}`;
  return element("p", { class: "field" },
    element("label", { for: id }, label),
    element("textarea", { id, name, rows: 3, spellcheck: "false", ...attributes }, value));
}

/** Returns a button; an error that `press` throws is shown beside it. */
export function button(text, press, attributes = {}) {
  let said = null;
  const made = element("button", { type: "button", onclick: async () => {
    said?.remove();
    try {
      await press();
    } catch (error) {
      said = problem(error);
      made.after(said);
    }
  }, ...attributes }, text);
  return made;
}

/** Returns a message; `kind` is "good", "bad" or "note". */
export function notice(kind, ...children) {
  return element("div", { class: `notice ${kind}`, role: kind === "bad" ? "alert" : "status" },
    children);
}

/**
 * Returns a form. `send(values, form)` gets the inputs by name and returns what to show below, or
 * nothing; an error that it throws is shown instead. A form is sent once at a time.
 */
export function form(parts, action, send, attributes = {}) {
  const answer = element("div", { class: "answer" });
  const submit = element("button", { type: "submit", class: attributes.danger ? "danger" : "main" },
    action);
  const made = element("form", { novalidate: false, onsubmit: async (event) => {
    event.preventDefault();
    submit.disabled = true;
    answer.replaceChildren();
    try {
      const shown = await send(valuesOf(made), made);
      if (shown) answer.append(shown);
    } catch (error) {
      answer.append(problem(error));
    } finally {
      submit.disabled = false;
      if (document.activeElement === document.body) submit.focus(); // A disabled button loses the focus.
    }
  } }, parts, element("p", { class: "buttons" }, submit), answer);
  if (attributes.label) made.setAttribute("aria-label", attributes.label);
  return made;
}

function valuesOf(made) {
  const values = {};
  for (const input of made.elements) {
    if (!input.name) continue;
    if (input.type === "checkbox") {
      if (input.hasAttribute("value")) {
        values[input.name] ??= [];
        if (input.checked) values[input.name].push(input.value);
      } else values[input.name] = input.checked;
    } else values[input.name] = input.type === "file" ? input.files[0] : input.value;
  }
  return values;
}

/** Throws an error if a passphrase was not typed the same way twice. */
export function requireSame(passphrase, again) {
  if (passphrase !== again) throw new Error("The two passphrases are not the same.");
}

/** Returns a number of things in words, e.g. "1 key" or "2 keys". */
export const counted = (count, noun) => `${count} ${noun}${count === 1 ? "" : "s"}`;

/** Returns the words of a text, which spaces or commas separate. */
export const words = (text) => text.split(/[\s,]+/).filter(Boolean);

/** Returns the value of a JSON text that a person has typed. */
export function parsedJson(text) {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new Error(`Not JSON: ${error.message}`);
  }
}

/** Returns a notice that says what went wrong. */
export function problem(error) {
  return notice("bad", error.message || String(error));
}

/** Returns a table; `rows` are lists of cells. */
export function table(headings, rows, label) {
  return element("div", { class: "wide", tabindex: "0", role: "region", "aria-label": label },
    element("table", {},
      element("thead", {}, element("tr", {},
        headings.map((text) => element("th", { scope: "col" }, text)))),
      element("tbody", {}, rows.map((cells) =>
        element("tr", {}, cells.map((cell) => element("td", {}, cell)))))));
}

/** Returns names with their values; pairs without a value are left out. */
export function facts(pairs) {
  return element("dl", {}, pairs.filter(([, value]) => value !== undefined && value !== "")
    .map(([name, value]) => [element("dt", {}, name), element("dd", {}, value)]));
}

export function section(title, ...children) {
  return element("section", {}, element("h2", {}, title), children);
}

/** Returns a section that opens on a click, or at once, and fills itself then, with what `fill()` returns. */
export function later(title, fill, isOpen = false) {
  const inside = element("div", {});
  return element("details", { open: isOpen, ontoggle: async (event) => {
    if (!event.target.open) return;
    inside.replaceChildren(await shown(fill));
  } }, element("summary", {}, title), inside);
}

const MOST_LISTED = 100;

/**
 * Returns what `show(name)` makes of each name. Of many, it is the first ones, and those of the names
 * that have the text which is typed above them.
 */
export function listed(names, noun, show) {
  if (names.length <= MOST_LISTED) return element("div", {}, names.map(show));
  const place = element("div", {});
  const said = element("p", { role: "status" });
  const draw = (text) => {
    const found = names.filter((name) => name.includes(text));
    const shownNames = found.slice(0, MOST_LISTED);
    said.textContent = `${shownNames.length} of ${counted(found.length, noun)} are shown.`;
    place.replaceChildren(...shownNames.map(show));
  };
  draw("");
  return element("div", {}, field(`Find a ${noun}`, { type: "search",
    oninput: (event) => draw(event.target.value) }), said, place);
}

/** Returns an element with what `fill()` returns, or a notice of why it failed. */
export async function shown(fill) {
  try {
    return element("div", {}, await fill());
  } catch (error) {
    return problem(error);
  }
}

/**
 * Runs `work(tell, signal)` and shows in `place` how far it is, with a button that stops it. `tell` takes
 * the bytes that have gone or come, and how many there are if that is known. A file that has gone
 * cannot be stopped any more. `onStop` takes what to do when the page is left.
 */
export async function withProgress(place, work, onStop = () => {}) {
  const stop = new AbortController();
  onStop(() => stop.abort());
  const bar = element("progress", { "aria-label": "Progress" });
  const said = element("span", {});
  const cancel = button("Cancel", () => stop.abort());
  const all = element("div", {}, bar, element("p", { class: "buttons" }, cancel, said));
  place.append(all);
  const began = Date.now();
  const tell = (bytes, total) => {
    if (!total) said.textContent = `${(bytes / 2 ** 20).toFixed(1)} MiB in ${Math.round((Date.now() - began) / 1000)} s`;
    else if (bytes < total) {
      bar.value = bytes / total;
      said.textContent = `${Math.floor(100 * bar.value)} % sent`;
    } else {
      bar.removeAttribute("value");
      said.textContent = "Sent. The HSM works on it.";
      cancel.remove();
    }
  };
  try {
    return await work(tell, stop.signal);
  } finally {
    all.remove();
  }
}

/** Asks in a dialog; resolves to true if `word`, typed in full, or the button alone, said yes. */
export function confirmed(question, action, word = "") {
  return new Promise((resolve) => {
    const typed = element("input", { type: "text", autocomplete: "off", spellcheck: "false",
      "aria-label": `Type ${word}` });
    const yes = element("button", { type: "submit", class: "danger", disabled: word !== "" }, action);
    typed.addEventListener("input", () => { yes.disabled = typed.value !== word; });
    const asked = element("dialog", { "aria-label": action, onclose: () => {
      resolve(asked.returnValue === "yes");
      asked.remove();
    } }, element("form", { method: "dialog", onsubmit: (event) => {
      event.preventDefault();
      asked.close("yes");
    } },
    element("p", {}, question),
    word && element("p", {}, "To confirm, type ", element("code", {}, word), ": ", typed),
    element("p", { class: "buttons" }, yes, button("Cancel", () => asked.close("")))));
    document.body.append(asked);
    asked.showModal();
  });
}

/** Whether a certificate ends at this Date, or never (RFC 5280, 4.1.2.5). */
const isNever = (date) => date.getUTCFullYear() === 9999;

/** Returns how far a Date is from now, in words, e.g. "in 3 months" or "2 days ago". */
export function fromNow(date) {
  if (isNever(date)) return "never";
  const days = Math.round((date - Date.now()) / 86_400_000);
  const [count, unit] = Math.abs(days) < 60 ? [days, "day"]
    : Math.abs(days) < 730 ? [Math.round(days / 30.44), "month"] : [Math.round(days / 365.25), "year"];
  return new Intl.RelativeTimeFormat("en", { numeric: "auto" }).format(count, unit);
}

/** Returns a moment (RFC 3339 or Date) in the browser's time zone, with UTC as its title. */
export function moment(time) {
  const date = time instanceof Date ? time : new Date(time);
  if (Number.isNaN(date.getTime())) return String(time);
  if (isNever(date)) return "never";
  return element("time", { datetime: date.toISOString(), title: date.toISOString() },
    `${date.toLocaleString()} (${date.toISOString().slice(0, 19)}Z)`);
}
