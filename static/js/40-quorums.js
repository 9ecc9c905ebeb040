// In the editor of quorums Enter adds whom one has typed, rather than pressing the form's first button.
"use strict";
(() => {
  window.keystead.on("keydown", "input[name^='who-']", (input, event) => {
    if (event.key !== "Enter" || !input.value.trim()) return;
    event.preventDefault();
    input.closest(".quorum-add").querySelector("button").click();
  });
})();
