// Tables that can be sorted by any column, with the mouse and with the keyboard, and that a screen reader finds.
(memkit => {
  const { make } = memkit;

  // Columns are {name, term, value(row), show(row), left}; `chosen(row)` is called for a row that was clicked, or Enter on it.
  function sortable(caption, columns, rows, { sort = 0, descending = true, chosen = null } = {}) {
    const body = make("tbody");
    const heads = columns.map((column, place) =>
      make("th", { scope: "col", class: column.left ? "left" : null },
        make("button", { type: "button", title: memkit.meaning(column.term ?? column.name), onclick: () => by(place) }, column.name), memkit.termLink(column.term ?? column.name)));
    const table = make("table", { class: "data", "aria-label": caption }, make("thead", {}, make("tr", {}, heads)), body);
    let current = null;
    let falling = descending;

    function by(place, direction = null) {
      falling = direction ?? (place === current ? !falling : !columns[place].left);
      current = place;
      heads.forEach((head, each) =>
        head.setAttribute("aria-sort", each !== place ? "none" : falling ? "descending" : "ascending"));
      const value = columns[place].value;
      const order = [...rows].sort((one, other) => {
        const [a, b] = [value(one), value(other)];
        if (typeof a === "string" || typeof b === "string") return String(a).localeCompare(String(b)) * (falling ? -1 : 1);
        return ((a ?? -Infinity) - (b ?? -Infinity)) * (falling ? -1 : 1);
      });
      body.replaceChildren(...order.map(drawn));
    }

    function drawn(row) {
      const cells = columns.map(column => make("td", { class: column.left ? "left" : null }, (column.show ?? column.value)(row)));
      if (!chosen) return make("tr", {}, cells);
      const element = make("tr", {
        tabindex: 0,
        onclick: () => pick(),
        onkeydown: event => {
          if (event.key === "Enter" || event.key === " ") { event.preventDefault(); pick(); }
          const beside = { ArrowDown: element.nextElementSibling, ArrowUp: element.previousElementSibling }[event.key];
          if (beside) { event.preventDefault(); beside.focus(); }
        },
      }, cells);
      function pick() {
        body.querySelectorAll(".chosen").forEach(each => each.classList.remove("chosen"));
        element.classList.add("chosen");
        chosen(row);
      }
      return element;
    }

    by(sort, descending);
    return make("div", { class: "scroll" }, table);
  }

  function facts(rows) {
    return make("table", { class: "facts" }, make("tbody", {}, rows.map(([label, emphasis, parts]) =>
      make("tr", {}, make("th", { scope: "row" }, label),
        make("td", { class: emphasis }, parts.map(([text, role]) =>
          make("span", { class: { value: "value", bad: "bad", remark: "faint" }[role] ?? null }, text)))))));
  }

  Object.assign(memkit, { sortable, facts });
})(window.memkit);
