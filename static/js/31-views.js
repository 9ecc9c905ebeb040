// Saved views of a table: names for its address, kept in this browser, for each account by itself. A view holds what was
// searched for, filtered and sorted by, and no page of it.
"use strict";
(() => {
  const PLACES = ["start", "offset", "before"];
  const holder = document.querySelector("[data-views]");
  if (!holder) return;
  const key = `keystead-views-${holder.dataset.views}-${holder.dataset.account}`;
  const list = holder.querySelector("[data-views-list]");
  const row = holder.querySelector("template");

  const kept = () => {
    try {
      const found = JSON.parse(localStorage.getItem(key));
      return Array.isArray(found) ? found.filter((view) => typeof view.name === "string" && typeof view.query === "string") : [];
    } catch {
      return [];
    }
  };
  const keep = (views) => {
    localStorage.setItem(key, JSON.stringify(views));
    show();
  };

  const here = () => {
    const query = new URLSearchParams(location.search);
    [...query].forEach(([name, value]) => (value === "" || PLACES.includes(name)) && query.delete(name));
    return query.toString();
  };

  const show = () => {
    const views = kept();
    list.replaceChildren(...views.map(({ name, query }) => {
      const item = row.content.cloneNode(true);
      const link = item.querySelector("a");
      link.href = `${location.pathname}?${new URLSearchParams(query)}`;
      link.textContent = name;
      const button = item.querySelector("button");
      button.querySelector(".visually-hidden").append(` ${name}`);
      button.addEventListener("click", (event) => {
        event.stopPropagation(); // the menu stays open, though what was pressed is gone
        keep(kept().filter((view) => view.name !== name));
      });
      return item;
    }));
    holder.querySelector("[data-views-none]").hidden = views.length > 0;
  };

  holder.querySelector("form").addEventListener("submit", (event) => {
    event.preventDefault();
    const name = new FormData(event.target).get("name").trim();
    if (!name) return;
    keep([...kept().filter((view) => view.name !== name), { name, query: here() }]);
    event.target.reset();
  });
  holder.hidden = false;
  show();
})();
