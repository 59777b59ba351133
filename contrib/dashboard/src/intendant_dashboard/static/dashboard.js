"use strict";
// A token that stands after `#` in the address of the sign-in page: browsers send it nowhere.
(() => {
  const field = document.querySelector("form[action$='/sign-in'] input[name=token]");
  if (field && location.hash.length > 1) {
    field.value = decodeURIComponent(location.hash.slice(1));
    history.replaceState(null, "", location.pathname + location.search);
    field.form.requestSubmit();
  }
})();

// Plots take the place of the pictures that the server drew.
(() => {
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const made = new Map();
  const draw = (element) => {
    made.get(element)?.destroy();
    element.replaceChildren();
    const said = JSON.parse(element.dataset.plot);
    const grid = { stroke: colour("--line"), width: 1 };
    const axis = { stroke: colour("--soft"), grid, ticks: grid };
    const money = (value) => (value == null ? "" : "$" + value.toFixed(value < 1 ? 4 : 2));
    made.set(element, new uPlot({
      width: element.clientWidth, height: 200, tzDate: (at) => uPlot.tzDate(new Date(at * 1e3), "Etc/UTC"),
      cursor: { y: false }, scales: { x: { range: (_, low, high) => (high - low < 600 ? [low - 300, high + 300] : [low, high]) }, y: { range: (_, low, high) => [0, Math.max(high * 1.1, 1e-6)] } },
      axes: [axis, { ...axis, size: 64, values: (_, ticks) => ticks.map(money) }],
      series: [{ value: "{YYYY}-{MM}-{DD} {HH}:{mm} UTC" }, {
        label: said.label, spanGaps: true, stroke: colour("--spent"), fill: colour("--spent") + "22", width: 1.5, points: { size: 5 },
        value: (_, value) => money(value),
      }],
    }, [said.x, said.y], element));
  };
  const all = () => document.querySelectorAll("[data-plot]").forEach(draw);
  if (window.uPlot) {
    all();
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", all);
    addEventListener("resize", all);
  }
})();

// What has to be scrolled sideways can be reached with the keyboard.
(() => {
  const reach = () => document.querySelectorAll(".wide, pre").forEach((element) => {
    if (element.scrollWidth > element.clientWidth || element.scrollHeight > element.clientHeight) element.tabIndex = 0;
  });
  reach();
  addEventListener("resize", reach);
  addEventListener("toggle", reach, true);
  document.addEventListener("htmx:after:swap", reach);
})();
