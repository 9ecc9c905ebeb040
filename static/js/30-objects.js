// The table of objects: choosing all, how many are chosen, and deeds on many that are sent one by one, so that each
// outcome is seen as it comes. Without it the forms do the same in one go.
"use strict";
(() => {
  const boxes = (form) => [...form.querySelectorAll('input[name="key"][type="checkbox"]')];

  const count = (form) => {
    const chosen = boxes(form).filter((box) => box.checked).length;
    form.querySelector("[data-chosen]").textContent = String(chosen);
    form.querySelectorAll("button[name=do]").forEach((button) => (button.disabled = chosen === 0));
    const all = form.querySelector("[data-choose-all]");
    all.checked = chosen > 0 && chosen === boxes(form).length;
    all.indeterminate = chosen > 0 && !all.checked;
  };
  const countAll = () => document.querySelectorAll("[data-bulk-form]").forEach(count);
  document.addEventListener("DOMContentLoaded", countAll);
  window.addEventListener("pageshow", countAll);
  document.addEventListener("htmx:after:swap", countAll);
  document.addEventListener("change", (event) => {
    const form = event.target.closest?.("[data-bulk-form]");
    if (!form) return;
    if (event.target.matches("[data-choose-all]")) boxes(form).forEach((box) => (box.checked = event.target.checked));
    count(form);
  });

  const show = (place, told) => {
    const badge = document.createElement(told.url ? "a" : "span");
    if (told.url) badge.href = told.url;
    badge.className = told.kind === "refused" ? "bulk-why" : "badge";
    badge.dataset.tone = told.tone;
    badge.textContent = told.text;
    place.replaceChildren(badge);
  };

  const one = async (form, key) => {
    const data = new FormData(form);
    data.delete("key");
    data.append("key", key);
    try {
      const answer = await fetch(form.action, { method: "POST", body: new URLSearchParams(data), headers: { "HX-Request": "true" } });
      return await answer.json();
    } catch {
      return { kind: "refused", tone: "danger", text: form.dataset.lost, url: "" };
    }
  };

  keystead.on("submit", "[data-bulk-run]", async (form, event) => {
    const typed = form.querySelector("[data-expected]");
    if (typed && typed.value.trim() !== typed.dataset.expected) return; // the server says what is wrong with it
    event.preventDefault();
    const progress = form.querySelector("progress");
    const places = [...form.querySelectorAll("[data-outcome]")];
    progress.hidden = false;
    form.querySelector("button[type=submit]").disabled = true;
    form.querySelector("[data-summary]").textContent = `${form.dataset.doing}…`;
    const counts = {};
    for (const place of places) {
      const told = await one(form, place.dataset.outcome);
      counts[told.text] = (counts[told.text] || 0) + 1;
      show(place, told);
      progress.value += 1;
    }
    form.querySelector("[data-summary]").textContent = Object.entries(counts).map(([text, number]) => `${text}: ${number}`).join(" · ");
  });

  // One row more for an entry of metadata. Without it the form's button asks the server for rows.
  keystead.on("click", "[data-metadata-row]", (button, event) => {
    const template = document.getElementById(button.dataset.metadataRow);
    if (!template) return;
    event.preventDefault();
    const added = template.content.cloneNode(true);
    const field = added.querySelector("input");
    button.parentElement.before(added);
    field.focus();
  });
})();
