// A role's permissions: a box that narrows them, a button for all of a section, and what comes along with the chosen.
"use strict";
(() => {
  const editor = () => document.querySelector("[data-permissions]");
  const boxes = (root) => [...root.querySelectorAll("input[name='permission']")];

  // What is implied says so beside it, and by whom; it can still be chosen by itself.
  const mark = (root) => {
    const implied = new Map();
    for (const box of boxes(root)) {
      if (!box.checked) continue;
      for (const name of box.dataset.implies.split(" ").filter(Boolean)) implied.set(name, box.dataset.sentence);
    }
    let chosen = 0;
    for (const box of boxes(root)) {
      const note = box.closest("li").querySelector("[data-implied]");
      const by = box.checked ? undefined : implied.get(box.dataset.name);
      note.hidden = by === undefined;
      note.querySelector("[data-by]").textContent = by ?? "";
      chosen += box.checked;
    }
    const count = root.querySelector("[data-count]");
    if (count) count.textContent = String(chosen);
  };

  const narrow = (root, text) => {
    const words = text.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const box of boxes(root)) {
      const item = box.closest("li");
      const said = `${box.dataset.sentence} ${box.value} ${box.dataset.name}`.toLowerCase();
      item.hidden = !words.every((word) => said.includes(word));
      shown += !item.hidden;
    }
    for (const section of root.querySelectorAll("[data-section]")) section.hidden = !section.querySelector("li:not([hidden])");
    root.querySelector("[data-none]").hidden = shown > 0;
  };

  window.keystead.on("input", "[data-narrow]", (input) => narrow(editor(), input.value));
  window.keystead.on("keydown", "[data-narrow]", (_input, event) => event.key === "Enter" && event.preventDefault());
  window.keystead.on("change", "[data-permissions] input[name='permission']", () => mark(editor()));
  window.keystead.on("click", "[data-all]", (button) => {
    const some = boxes(button.closest("[data-section]")).filter((box) => !box.closest("li").hidden);
    const wanted = some.some((box) => !box.checked);
    for (const box of some) box.checked = wanted;
    mark(editor());
  });
  document.addEventListener("DOMContentLoaded", () => {
    const root = editor();
    if (!root) return;
    for (const shown of root.querySelectorAll("[data-scripted]")) shown.hidden = false;
    mark(root);
  });
})();
