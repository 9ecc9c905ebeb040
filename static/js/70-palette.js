// The palette: Ctrl-K (or Cmd-K) opens it, arrows walk through what was found, Enter goes there, Escape closes.
"use strict";
(() => {
  const palette = () => document.getElementById("palette");
  const links = () => [...palette().querySelectorAll(".hits a")];

  const open = () => {
    const box = palette();
    if (!box || box.open) return;
    box.showModal();
    const input = box.querySelector("input");
    input.select();
    input.dispatchEvent(new Event("palette"));
  };

  document.addEventListener("keydown", (event) => {
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") {
      event.preventDefault();
      open();
    }
  });
  keystead.on("click", '[data-open="palette"]', open);

  const walk = (event) => {
    const all = links();
    if (!all.length) return;
    const at = all.indexOf(document.activeElement);
    if (event.key === "ArrowDown") all[(at + 1) % all.length].focus();
    else if (event.key === "ArrowUp") at > 0 ? all[at - 1].focus() : palette().querySelector("input").focus();
    else return;
    event.preventDefault();
  };
  document.addEventListener("keydown", (event) => {
    const box = palette();
    if (!box?.open) return;
    walk(event);
    // Enter in the box goes to the first thing found; with nothing there it is a search.
    if (event.key === "Enter" && event.target.matches("input") && links().length) {
      event.preventDefault();
      links()[0].click();
    }
  });
})();
