// Charts over a table that is in the page anyway: whoever cannot see one reads the other.
"use strict";
(() => {
  // `light-dark()` in a custom property is not resolved by reading it; an element that uses it is.
  const shade = (element, name) => {
    const probe = document.createElement("i");
    probe.className = `shade-${name}`;
    element.append(probe);
    const found = getComputedStyle(probe).color;
    probe.remove();
    return found;
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

  const seriesOf = (element, columns, order) => {
    const tones = ["ok", "warn", "danger"];
    return order.map((index) => ({
      label: columns[index],
      fill: shade(element, tones[index]),
      stroke: shade(element, tones[index]),
      paths: uPlot.paths.bars({ size: [0.6, 48] }),
      points: { show: false },
    }));
  };

  // Days are the record's, in UTC; each bar stands over its own day.
  const optionsOf = (element, series) => {
    const grid = { stroke: shade(element, "line"), width: 1 };
    const axis = { stroke: shade(element, "muted"), grid, ticks: grid, font: "12px sans-serif" };
    return {
      width: element.clientWidth || 600,
      height: 220,
      tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"),
      scales: {
        x: { range: (_plot, min, max) => [min - 43200, max + 43200] },
        y: { range: (_plot, _min, max) => [0, Math.max(max * 1.1, 1)] },
      },
      axes: [{ ...axis, incrs: [86400, 604800, 2592000] }, { ...axis, size: 56 }],
      cursor: { show: false },
      legend: { live: false },
      series: [{}, ...series],
    };
  };

  const plots = new Map();

  const draw = (element) => {
    const table = document.querySelector(`[data-chart-rows="${element.dataset.chart}"]`);
    if (!table || typeof uPlot === "undefined") return;
    plots.get(element)?.destroy();
    const { at, columns, series } = numbersOf(table);
    const order = columns.map((_, index) => index).reverse();
    const sums = stacked(series).map((sum) => sum.map((number) => number || null));
    const options = optionsOf(element, seriesOf(element, columns, order));
    plots.set(element, new uPlot(options, [at, ...order.map((index) => sums[index])], element));
  };

  const charts = () => document.querySelectorAll("[data-chart]");
  const resized = new ResizeObserver((entries) => entries.forEach(({ target }) =>
    plots.get(target)?.setSize({ width: target.clientWidth, height: 220 })));
  const drawNew = () => charts().forEach((element) => {
    if (plots.has(element)) return;
    draw(element);
    resized.observe(element);
  });
  document.addEventListener("DOMContentLoaded", drawNew);
  document.addEventListener("htmx:after:swap", drawNew);
  // Another theme has other colours.
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => charts().forEach(draw));
})();
