// What resident memory was made of: a bar and its rows, for each moment at which the balance was taken.
(memkit => {
  const { make, showBytes, showTime } = memkit;
  const COLOURS = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#7a5195", "#8c8c3c", "#3b7d8c", "#b0706d"];
  const MOMENTS = { peak: "at the peak", end: "at the end" };

  function madeOf() {
    return make("div", {}, memkit.recording.balances.map(balance => one(balance)));
  }

  function one(balance) {
    const rows = balance.rows.filter(row => row.bytes > 0);
    const bar = make("div", { class: "bar", role: "img", "aria-label": "the table below says the same" }, rows.map((row, place) => {
      const part = make("div", { title: `${row.name}: ${showBytes(row.bytes)}` });
      part.style.flex = `${row.bytes} 0 0`;
      part.style.background = COLOURS[place % COLOURS.length];
      return part;
    }));
    const body = rows.map((row, place) => {
      const key = make("i");
      key.style.background = COLOURS[place % COLOURS.length];
      const parts = row.parts.slice(0, 8).map(part => `${part.name} ${showBytes(part.bytes)}`).join(", ");
      return make("tr", {}, make("td", {}, make("span", { class: "key" }, key)), make("td", {}, showBytes(row.bytes)),
        make("td", {}, `${((100 * row.bytes) / balance.rss).toFixed(1)} %`),
        make("td", { class: "left" }, make("div", { class: "value" }, row.name), parts ? make("div", { class: "faint wrap" }, parts) : null, row.advice ? make("div", { class: "wrap" }, row.advice) : null));
    });
    const title = `${MOMENTS[balance.moment] ?? balance.moment}: ${showBytes(balance.rss)} of process ${balance.pid}, taken at ${showTime(balance.time)}`;
    return make("section", {}, make("h2", {}, title), bar, make("table", { class: "data", "aria-label": title }, make("tbody", {}, body)));
  }

  Object.assign(memkit, { madeOf });
})(window.memkit);
