// What resident memory was made of: a bar and its rows, for each moment at which the balance was taken.
(memkit => {
  const { make, showBytes, showTime } = memkit;
  const COLOURS = {
    python: "#0072b2", "python-free": "#56b4e9", c: "#d55e00", "c-free": "#e69f00", "c-heap": "#b0706d", own: "#009e73",
    code: "#8c8c3c", files: "#3b7d8c", shared: "#cc79a7", stacks: "#5b5fb0", memkit: "#7a5195", unexplained: "#888888",
  };
  const colourOf = row => COLOURS[row.key] ?? COLOURS.unexplained;
  const MOMENTS = { peak: "near the peak", end: "at the end" };

  function madeOf() {
    return make("div", {}, memkit.recording.balances.map(balance => one(balance)));
  }

  function one(balance) {
    const rows = balance.rows.filter(row => row.bytes > 0);
    const bar = make("div", { class: "bar", role: "img", "aria-label": "the table below says the same" }, rows.map(row => {
      const part = make("div", { title: `${row.name}: ${showBytes(row.bytes)}` });
      part.style.flex = `${row.bytes} 0 0`;
      part.style.background = colourOf(row);
      return part;
    }));
    const body = rows.map(row => {
      const key = make("i");
      key.style.background = colourOf(row);
      const parts = row.parts.slice(0, 8).map(part => `${part.name} ${showBytes(part.bytes)}`).join(", ");
      return make("tr", {}, make("td", {}, make("span", { class: "key" }, key)), make("td", {}, showBytes(row.bytes)),
        make("td", {}, `${((100 * row.bytes) / balance.rss).toFixed(1)} %`),
        make("td", { class: "left" }, make("div", { class: "value" }, row.name), parts ? make("div", { class: "faint wrap" }, parts) : null, row.advice ? make("div", { class: "wrap" }, memkit.view.advice[row.key] ?? row.advice) : null));
    });
    const title = `${MOMENTS[balance.moment] ?? balance.moment}: ${showBytes(balance.rss)} of process ${balance.pid}, taken at ${showTime(balance.time)}`;
    return make("section", {}, make("h2", {}, title), bar, make("table", { class: "data", "aria-label": title }, make("tbody", {}, body)));
  }

  Object.assign(memkit, { madeOf });
})(window.memkit);
