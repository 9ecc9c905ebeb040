// Links in mails carry their code in the fragment, which no server sees: it goes into the form's fields, and survives a
// sign-in on the way. Recovery codes are saved as a file that the browser makes.
"use strict";
(() => {
  const KEPT = "of-mail";
  const parsed = (fragment) => {
    const said = new URLSearchParams(fragment.replace(/^#/, ""));
    return said.get("user") && said.get("code") ? said : null;
  };

  const fill = (form) => {
    const keeps = form.hasAttribute("data-keep-fragment");
    const said = parsed(location.hash) ?? (keeps ? parsed(sessionStorage.getItem(KEPT) ?? "") : null);
    if (!said) return;
    if (keeps) sessionStorage.setItem(KEPT, said.toString());
    history.replaceState(null, "", location.pathname + location.search);
    for (const name of ["user", "code"]) form.elements[name].value = said.get(name);
    form.querySelector("[data-of-mail]").hidden = true;
    form.addEventListener("submit", () => sessionStorage.removeItem(KEPT));
    if (form.hasAttribute("data-at-once")) form.requestSubmit();
  };

  document.addEventListener("DOMContentLoaded", () => {
    const form = document.querySelector("form[data-from-fragment]");
    if (form && !form.querySelector("[data-focus]") && form.querySelector("[data-of-mail]")) fill(form);
  });

  // A new password can be looked at while it is typed.
  const reveal = (input) => {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "button small reveal";
    button.textContent = input.dataset.reveal;
    button.setAttribute("aria-controls", input.id);
    button.addEventListener("click", () => {
      const shown = input.type === "text";
      input.type = shown ? "password" : "text";
      button.textContent = shown ? input.dataset.reveal : input.dataset.conceal;
    });
    input.after(button);
  };
  document.addEventListener("DOMContentLoaded", () => document.querySelectorAll("[data-reveal]").forEach(reveal));

  window.keystead.on("click", "[data-save]", (button) => {
    const codes = document.querySelector("[data-codes]").textContent;
    const url = URL.createObjectURL(new Blob([codes], { type: "text/plain" }));
    const link = document.createElement("a");
    link.href = url;
    link.download = button.dataset.save;
    link.click();
    setTimeout(() => URL.revokeObjectURL(url), 1000);
  });
})();
