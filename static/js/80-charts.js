// Charts over a table that is in the page anyway: whoever cannot see one reads the other.
"use strict";
(() => {
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  // `light-dark()` in a custom property is not resolved by reading it; an element that uses it is.
  const shade = (element, name) => {
    const probe = document.createElement("i");
    probe.className = `shade-${name}`;
    element.append(probe);
    const found = getComputedStyle(probe).color;
    probe.remove();
    return found || colour(`--${name}`);
  };

  const numbersOf = (table) => {
    const rows = [...table.tBodies[0].rows];
    const columns = [...table.tHead.rows[0].cells].slice(1).map((cell) => cell.textContent.trim());
    const series = columns.map((_, index) => rows.map((row) => Number(row.cells[index + 1].textContent)));
    return { at: rows.map((row) => Number(row.dataset.at)), columns, series };
  };

  // Stacked: each series stands on those before it, drawn from the tallest, and the legend says its own number.
  const stacked = (series) => series.map((_, index) => series[index].map((_n, day) =>
    series.slice(0, index + 1).reduce((sum, each) => sum + each[day], 0)));

  const draw = (element) => {
    const table = document.querySelector(`[data-chart-rows="${element.dataset.chart}"]`);
    if (!table || element.dataset.drawn || typeof uPlot === "undefined") return;
    element.dataset.drawn = "yes";
    const { at, columns, series } = numbersOf(table);
    const sums = stacked(series);
    const tones = ["ok", "warn", "danger"];
    const grid = { stroke: shade(element, "line"), width: 1 };
    const axis = { stroke: shade(element, "muted"), grid, ticks: grid, font: "12px sans-serif" };
    const order = columns.map((_, index) => index).reverse();
    const options = {
      width: element.clientWidth || 600,
      height: 220,
      scales: { x: { time: true, range: (_u, min, max) => [min - 43200, max + 43200] }, y: { range: (_u, _min, max) => [0, Math.max(max * 1.1, 1)] } },
      axes: [{ ...axis, incrs: [86400, 604800, 2592000] }, { ...axis, size: 56 }],
      cursor: { drag: { x: false, y: false } },
      series: [{}, ...order.map((index) => ({
        label: columns[index],
        fill: shade(element, tones[index]),
        stroke: shade(element, tones[index]),
        paths: uPlot.paths.bars({ size: [0.6, 48] }),
        points: { show: false },
        value: (_u, _sum, _series, day) => (day == null ? "–" : series[index][day].toLocaleString()),
      }))],
    };
    const plot = new uPlot(options, [at, ...order.map((index) => sums[index])], element);
    new ResizeObserver(() => plot.setSize({ width: element.clientWidth, height: 220 })).observe(element);
  };

  const drawAll = () => document.querySelectorAll("[data-chart]").forEach(draw);
  document.addEventListener("DOMContentLoaded", drawAll);
  document.addEventListener("htmx:after:swap", drawAll);
})();
