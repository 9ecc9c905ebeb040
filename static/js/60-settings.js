// The settings: limits of a policy stand aside while the policy is none. Without this they are there and not read.
"use strict";
(() => {
  const shown = () => {
    const limits = document.querySelector("[data-limits]");
    if (!limits) return;
    limits.hidden = document.querySelector("input[name=limited]:checked")?.value === "no";
  };
  document.addEventListener("change", (event) => {
    if (event.target.name === "limited") shown();
  });
  document.addEventListener("DOMContentLoaded", shown);
})();
