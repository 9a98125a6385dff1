// The API's description, with a form to try each operation as the signed-in user.

import { save } from "/console/bytes.js";
import { area, button, element, field, form, later, section } from "/console/elements.js";
import { segment } from "/console/hsm.js";

export async function apiView({ hsm }) {
  hsm.description ??= await hsm.get("/openapi.json", { anonymous: true });
  const byTag = {};
  for (const [path, methods] of Object.entries(hsm.description.paths))
    for (const [method, operation] of Object.entries(methods))
      (byTag[operation.tags?.[0] ?? "other"] ??= []).push({ path, method: method.toUpperCase(), operation });
  return element("div", {}, element("h1", {}, "API"),
    element("p", {}, "Everything this page does, it does by these operations. ",
      button("Save openapi.json", () => save("openapi.json", JSON.stringify(hsm.description, null, 2)))),
    Object.entries(byTag).map(([tag, operations]) => section(tag, operations.map((one) =>
      later(`${one.method} ${one.path} – ${one.operation.summary ?? ""}`, () => operationView(hsm, one))))));
}

function operationView(hsm, { path, method, operation }) {
  const parameters = operation.parameters ?? [];
  const named = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
  const query = parameters.filter((one) => one.in === "query").map((one) => one.name);
  const types = Object.keys(operation.requestBody?.content ?? {});
  return element("div", {},
    element("p", {}, `States: ${(operation["x-states"] ?? []).join(", ")}. `
      + `Roles: ${(operation["x-roles"] ?? []).join(", ") || "anyone"}.`),
    types.includes("application/json") && element("pre", {}, JSON.stringify(
      resolved(hsm.description, operation.requestBody.content["application/json"].schema), null, 2)),
    form([
      named.map((name) => field(name, { name: `path-${name}`, required: true })),
      query.map((name) => field(`?${name}`, { name: `query-${name}` })),
      types.length > 0 && area(`Body (${types[0]})`, "body"),
    ], `${method} it`, (values) => tryIt(hsm, { path, method, types }, values),
    { label: `Try ${method} ${path}`, danger: method !== "GET" }));
}

async function tryIt(hsm, { path, method, types }, values) {
  const address = path.replace(/\{(\w+)\}/g, (_, name) => segment(values[`path-${name}`]));
  const query = new URLSearchParams(Object.entries(values)
    .filter(([name, value]) => name.startsWith("query-") && value)
    .map(([name, value]) => [name.slice("query-".length), value])).toString();
  const body = types.length ? values.body : undefined;
  const response = await hsm.request(method, query ? `${address}?${query}` : address,
    { body, anonymous: !hsm.isSignedIn, headers: body === undefined ? {} : { "Content-Type": types[0] } });
  const text = await response.text();
  return element("div", {}, element("p", {}, `${response.status} ${response.statusText}`),
    text && element("pre", {}, text.slice(0, 100_000)));
}

/** Returns a schema with its references replaced, to a bounded depth. */
function resolved(description, schema, depth = 0) {
  if (schema === null || typeof schema !== "object" || depth > 6) return schema;
  if (Array.isArray(schema)) return schema.map((one) => resolved(description, one, depth + 1));
  if (schema.$ref) {
    const found = schema.$ref.slice(2).split("/").reduce((at, name) => at?.[name], description);
    return resolved(description, found, depth + 1);
  }
  return Object.fromEntries(Object.entries(schema).map(([name, value]) =>
    [name, resolved(description, value, depth + 1)]));
}
