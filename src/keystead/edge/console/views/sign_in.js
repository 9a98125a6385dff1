// Signing in: the passphrase stays in this page's memory, and is forgotten after 15 minutes.

import { element, field, form } from "/console/elements.js";

export function signInView({ hsm }) {
  return element("div", {}, element("h1", {}, "Sign in"),
    element("section", {}, form([
      field("User", { name: "user", required: true, autocomplete: "username", autofocus: true },
        "A user of a namespace is namespace~user."),
      field("Passphrase", { name: "passphrase", type: "password", required: true,
        autocomplete: "current-password" }),
    ], "Sign in", async ({ user, passphrase }, made) => {
      try {
        await hsm.signIn(user, passphrase);
      } catch (error) {
        if (![0, 429, 503].includes(error.status)) made.elements.passphrase.value = "";
        if (error.status === 401) throw new Error("The user or the passphrase is wrong.");
        throw error;
      }
    }, { label: "Sign in" })));
}
