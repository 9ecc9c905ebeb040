// What every page has: toasts, the menu on narrow screens, copying, dialogs, the viewer's zone. Each works by data
// attributes on plain HTML; nothing here makes markup from text.
"use strict";
(() => {
  const on = (type, selector, handle) =>
    document.addEventListener(type, (event) => {
      const found = event.target.closest?.(selector);
      if (found) handle(found, event);
    });

  // The server renders times in the viewer's zone from the next page on.
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  if (zone && !document.cookie.includes("zone=")) {
    const secure = location.protocol === "https:" ? "; Secure" : "";
    document.cookie = `zone=${encodeURIComponent(zone)}; Path=/; SameSite=Lax; Max-Age=31536000${secure}`;
  }

  const say = (text, tone = "info") => {
    const toasts = document.getElementById("toasts");
    const toast = document.createElement("div");
    toast.className = "toast";
    toast.dataset.tone = tone;
    const words = document.createElement("span");
    words.className = "text";
    words.textContent = text;
    toast.append(words);
    toasts.append(toast);
    setTimeout(() => toast.remove(), 8000);
  };

  on("click", "[data-dismiss]", (button) => button.closest(".toast").remove());

  on("click", "[data-toggle]", (button) => {
    const target = document.getElementById(button.dataset.toggle);
    button.setAttribute("aria-expanded", String(target.classList.toggle("open")));
  });

  on("click", "[data-open]:not([data-open=palette])", (button) => document.getElementById(button.dataset.open)?.showModal());
  on("click", "[data-close]", (button) => button.closest("dialog").close());

  // "Copied" is said when the clipboard has it; otherwise the text is selected, so that Ctrl-C takes it.
  on("click", "[data-copy]", async (button) => {
    const value = button.closest(".copyable").querySelector("[data-value]");
    const label = button.querySelector("span");
    try {
      await navigator.clipboard.writeText(value.value ?? value.textContent);
      const before = label.textContent;
      label.textContent = button.dataset.done || "✓";
      say(button.dataset.said || document.documentElement.dataset.copied || "Copied");
      setTimeout(() => (label.textContent = before), 2000);
    } catch {
      getSelection().selectAllChildren(value);
    }
  });

  // One menu open at a time; Escape and a click elsewhere close it.
  const menus = () => document.querySelectorAll("details.menu[open]");
  document.addEventListener("click", (event) => menus().forEach((menu) => menu.contains(event.target) || (menu.open = false)));
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    menus().forEach((menu) => {
      menu.open = false;
      menu.querySelector("summary").focus();
    });
  });

  // After a form that was refused, and after htmx has put one there.
  const focusErrors = (root) => root.querySelector("[data-focus]")?.focus();
  document.addEventListener("DOMContentLoaded", () => focusErrors(document));
  document.addEventListener("htmx:after:swap", (event) => focusErrors(event.target ?? document));

  // A form that asks first: the dialog's text is the server's, the answer is a button's.
  on("submit", "form[data-confirm]", (form, event) => {
    if (form.dataset.confirmed) return;
    event.preventDefault();
    const dialog = document.getElementById(form.dataset.confirm);
    dialog.addEventListener("close", () => {
      if (dialog.returnValue !== "yes") return;
      form.dataset.confirmed = "yes";
      form.requestSubmit(event.submitter);
    }, { once: true });
    dialog.showModal();
  });

  window.keystead = { on, say };
})();
