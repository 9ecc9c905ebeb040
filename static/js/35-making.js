// Making and trying objects: presets tick boxes, rows are added, a chosen file is read into its field, what was shown
// goes after a minute. Without this file the forms still work.
"use strict";
(() => {
  const { on, say } = window.keystead;
  const changed = (element) => element.dispatchEvent(new Event("change", { bubbles: true }));

  // What only a script can do is hidden until there is one.
  const reveal = (root) => root.querySelectorAll("[data-presets], [data-add-row], [data-file]").forEach((part) => (part.hidden = false));
  document.addEventListener("DOMContentLoaded", () => reveal(document));
  document.addEventListener("htmx:after:swap", () => reveal(document));

  on("click", "[data-preset]", (button) => {
    const wanted = new Set(button.dataset.preset.split(" "));
    const boxes = [...button.closest("[data-operations]").querySelectorAll('input[type="checkbox"]')];
    boxes.forEach((box) => (box.checked = wanted.has(box.value)));
    changed(boxes[0]);
  });

  on("click", "[data-add-row]", (button) => {
    const rows = button.closest("fieldset").querySelector("[data-rows]");
    const row = rows.lastElementChild.cloneNode(true);
    row.querySelectorAll("input").forEach((input) => (input.value = ""));
    rows.append(row);
    row.querySelector("input").focus();
  });

  // A file never leaves the browser as a file: its bytes go into the field as the encoding says.
  const base64 = (bytes) => {
    let text = "";
    for (let at = 0; at < bytes.length; at += 0x8000) text += String.fromCharCode(...bytes.subarray(at, at + 0x8000));
    return btoa(text);
  };
  on("change", "[data-read-into]", async (input) => {
    const [file] = input.files;
    if (!file) return;
    if (file.size > 1024 * 1024) return say(input.dataset.tooLong, "error");
    const form = input.form;
    const field = form.elements[input.dataset.readInto];
    const encoding = form.elements[input.dataset.encoding];
    const bytes = new Uint8Array(await file.arrayBuffer());
    let text = null;
    try {
      text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    } catch {
      // Bytes that are no text are carried as base64.
    }
    const choose = (value) => {
      const radio = [...form.querySelectorAll(`[name="${input.dataset.encoding}"]`)].find((each) => each.value === value);
      if (radio) radio.checked = true;
      else if (encoding) encoding.value = value;
    };
    if (text !== null && /^-----BEGIN |^\s*\{/.test(text)) {
      field.value = text;
      choose("text");
    } else {
      field.value = base64(bytes);
      choose("base64");
    }
    changed(field);
    input.value = "";
  });

  // A revealed secret stays for a minute. The clock says how long; the page can be made to forget earlier.
  const forget = (box) => {
    box.querySelectorAll("[data-value]").forEach((value) => ("value" in value ? (value.value = "") : (value.textContent = "")));
    box.querySelectorAll("[data-secret]").forEach((part) => part.remove());
    box.querySelectorAll("[data-gone]").forEach((part) => (part.hidden = false));
  };
  const countDown = (box) => {
    const left = box.querySelector("[data-left]");
    const ends = Date.now() + Number(box.dataset.forget) * 1000;
    const tick = () => {
      const seconds = Math.max(0, Math.ceil((ends - Date.now()) / 1000));
      if (left) left.textContent = String(seconds);
      if (seconds === 0) return forget(box);
      setTimeout(tick, 500);
    };
    tick();
  };
  document.addEventListener("DOMContentLoaded", () => document.querySelectorAll("[data-forget]").forEach(countDown));
  on("click", "[data-forget-now]", (button) => forget(button.closest("[data-forget]")));
  // A page that comes back out of the browser's store shows nothing of it either.
  addEventListener("pagehide", () => document.querySelectorAll("[data-forget]").forEach(forget));

  on("click", "[data-clear-clipboard]", async (button) => {
    try {
      await navigator.clipboard.writeText("");
      say(button.dataset.said);
    } catch {
      say(button.dataset.failed, "error");
    }
  });
})();
