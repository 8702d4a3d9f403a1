// Lines: the source of each traced function, with what each line did beside it.
(memkit => {
  const { make, showBytes, showTime, showCount } = memkit;
  const KINDS = { k: "tk", s: "ts", c: "tc", n: "tn", f: "tf" };
  const OPEN = 6;
  const NEAR = 3;  // lines around one that was sampled

  const COLUMNS = [
    { key: "hits", show: showCount },
    { key: "time", show: showTime },
    { key: "growth", show: size => showBytes(size, true) },
    { key: "rise", show: size => showBytes(size) },
    { key: "peak", show: size => showBytes(size) },
    { key: "allocated", heap: "allocated", of: line => line.heap?.allocated, show: size => showBytes(size) },
    { key: "alive", heap: "alive", of: line => line.heap?.alive, show: size => showBytes(size) },
    { key: "alive at the peak", heap: "alive_at_peak", of: line => line.heap?.alive_at_peak, show: size => showBytes(size) },
    { key: "temporary", of: line => line.heap?.temporary, show: size => showBytes(size) },
  ].map(column => ({ of: line => line[column.key], ...column }));

  // The text of a line, in pieces of a colour each; null where it is not in the page. A function whose file was changed since
  // it ran has a text of its own.
  function textOf(file, number, of = null) {
    const own = of && memkit.view.text[`${of.file}:${of.line}:${of.name}`];
    for (const [first, lines, colours] of own ?? memkit.view.text[file] ?? []) {
      const place = number - first;
      if (place >= 0 && place < lines.length) return pieces(lines[place], colours[place]);
    }
    return null;
  }

  // `colours` is one letter and a length after the other: "k3" is a keyword of three letters, "-5" plain text.
  function pieces(text, colours) {
    const found = [];
    let at = 0;
    for (const [, kind, length] of (colours ?? "").matchAll(/([a-z-])(\d+)/g)) {
      const piece = text.slice(at, at + Number(length));
      at += Number(length);
      found.push(KINDS[kind] ? make("span", { class: KINDS[kind] }, piece) : document.createTextNode(memkit.plain(piece)));
    }
    if (at < text.length) found.push(document.createTextNode(memkit.plain(text.slice(at))));
    return found;
  }

  function sourceCell(file, number, of = null) {
    return make("td", { class: "source" }, textOf(file, number, of) ?? []);
  }

  // Those that were traced, or else what is estimated of lines where the heap was sampled.
  const every = () => memkit.recording.lines.length ? memkit.recording.lines : memkit.recording.heap_lines ?? [];

  function groups() {
    const found = new Map();
    for (const line of every()) {
      const key = JSON.stringify(line.function);
      if (!found.has(key)) found.set(key, { of: line.function, lines: new Map() });
      found.get(key).lines.set(line.number, line);
    }
    return [...found.values()];
  }

  function lines(state) {
    const all = every();
    const columns = COLUMNS.filter(column => all.some(line => column.of(line) !== null && column.of(line) !== undefined));
    const chosen = columns.find(column => column.key === state.by) ?? columns.find(column => ["growth", "alive at the peak"].includes(column.key));
    const heat = line => Math.max(0, chosen.of(line) ?? 0) - (chosen.key === "peak" ? lowest : 0);
    const lowest = Math.min(...all.map(line => line.memory));
    const most = all.reduce((so, line) => Math.max(so, heat(line)), 1);
    const functions = groups();
    const weight = group => [...group.lines.values()].reduce((so, line) => Math.max(so, heat(line)), 0);
    const body = make("div");
    const ranked = [...all].sort((a, b) => heat(b) - heat(a)).filter(line => heat(line) > 0);
    let at = -1;

    const controls = make("div", { class: "controls" },
      make("label", {}, "heat by", make("select", { id: "heat", onchange: event => memkit.go("lines", { ...state, by: event.target.value }) },
        columns.map(column => make("option", { value: column.key, selected: column === chosen }, column.key)))),
      make("button", { type: "button", "aria-pressed": state.list ? "true" : "false",
        onclick: () => memkit.go("lines", { ...state, list: state.list ? "" : "1" }) }, "All lines in one table"),
      make("button", { type: "button", id: "worst", onclick: () => jump(1) }, "Jump to the worst"),
      make("button", { type: "button", onclick: () => jump(-1) }, "Back"),
      make("label", {}, "find", make("input", { type: "search", value: state.find ?? "", placeholder: "function, file or text",
        onchange: event => memkit.go("lines", { ...state, find: event.target.value }) })));

    function jump(step) {
      at = Math.max(0, Math.min(ranked.length - 1, at + step));
      const line = ranked[at];
      if (!line) return;
      const section = body.querySelector(`[data-function="${CSS.escape(JSON.stringify(line.function))}"]`);
      if (section) { section.open = true; section.fill(); }
      const row = body.querySelector(`[data-line="${CSS.escape(rowKey(line.function, line.number))}"]`);
      body.querySelectorAll(".chosen").forEach(each => each.classList.remove("chosen"));
      row?.classList.add("chosen");
      row?.scrollIntoView({ block: "center" });
    }

    const wanted = (state.find ?? "").toLowerCase();
    const matches = (of, number) => [of.name, of.file, plainText(of, number)].some(text => text.toLowerCase().includes(wanted));
    if (state.list) {
      body.append(list(all.filter(line => !wanted || matches(line.function, line.number)), columns, chosen));
    } else {
      const library = group => memkit.view.libraries.includes(group.of.file);  // sampled are those too
      const order = [...functions].sort((a, b) => library(a) - library(b) || weight(b) - weight(a));
      const shown = order.filter(group => !wanted || [...group.lines.keys()].some(number => matches(group.of, number)));
      body.append(...shown.map((group, place) => section(group, columns, heat, most, place < OPEN)));
      if (!shown.length) body.append(make("p", { class: "faint" }, "Nothing matches."));
    }
    return make("div", {}, controls, body);
  }

  const rowKey = (of, number) => `${of.file}:${of.line}:${of.name}:${number}`;
  const plainText = (of, number) => (textOf(of.file, number, of) ?? []).map(piece => piece.textContent).join("");

  function section(group, columns, heat, most, open) {
    const { of, lines: known } = group;
    const sums = [...known.values()];
    const growth = sums.reduce((sum, line) => sum + line.growth, 0);
    const remark = memkit.view.remarks[rowKey(of, 0)];
    const element = make("details", { "data-function": JSON.stringify(of), open },
      make("summary", {}, of.name, make("span", { class: "faint" }, `  ${memkit.place(of)}${Number.isFinite(growth) ? `  lines grew by ${showBytes(growth, true)}` : ""}`)));
    let filled = false;
    element.fill = () => {
      if (filled) return;
      filled = true;
      if (remark) element.append(make("p", { class: "faint" }, remark));
      element.append(make("div", { class: "scroll" }, tableOf(group, columns, heat, most)));
    };
    if (open) element.fill();
    element.addEventListener("toggle", () => element.open && element.fill());
    return element;
  }

  function tableOf({ of, lines: known }, columns, heat, most) {
    const numbers = [...known.keys()].sort((a, b) => a - b);
    const rows = [], traced = memkit.recording.lines.length > 0;
    let before = null;
    const first = of.name === "<module>" ? numbers[0] : Math.min(of.line || numbers[0], numbers[0]);
    for (let number = first; number <= numbers.at(-1); number += 1) {
      const line = known.get(number);
      const text = textOf(of.file, number, of);
      const near = traced || [...known.keys()].some(each => Math.abs(each - number) <= NEAR);
      if (!line && (text === null || of.name === "<module>" || !near)) continue;
      if (before !== null && number > before + 1) rows.push(make("tr", {}, make("td", { class: "heat" }), make("td", { class: "faint" }, "⋮")));
      before = number;
      const margin = make("td", { class: "heat" });
      const part = line ? heat(line) / most : 0;
      if (part > 0) margin.style.background = `rgba(var(--heat), ${0.08 + 0.92 * part})`;
      rows.push(make("tr", { "data-line": rowKey(of, number) }, margin, make("td", { class: "faint" }, String(number)),
        columns.map(column => make("td", {}, line ? shown(column, line) : "")), sourceCell(of.file, number, of)));
    }
    const heads = columns.map(column => make("th", { scope: "col", title: memkit.meaning(column.key) }, column.key, memkit.termLink(column.key)));
    return make("table", { class: "data", "aria-label": `lines of ${of.name}` },
      make("thead", {}, make("tr", {}, make("th", { "aria-label": "heat" }), make("th", { scope: "col" }, "line"), heads,
        make("th", { scope: "col", class: "left" }, "source"))), make("tbody", {}, rows));
  }

  function shown(column, line) {
    const value = column.of(line);
    if (value === null || value === undefined) return "";
    const about = column.key === "growth" && line.about ? "about " : "";
    const error = line.heap?.errors?.[column.heap];
    return about + column.show(value) + (error === undefined ? "" : ` ±${showBytes(Math.round(error))}`);
  }

  function list(found, columns, chosen) {
    const all = [
      ...columns.map(column => ({ name: column.key, value: line => column.of(line) ?? null, show: line => shown(column, line) })),
      { name: "where", left: true, value: line => `${memkit.place({ ...line.function, line: line.number })}` },
      { name: "function", left: true, value: line => line.function.name },
      { name: "source", left: true, value: line => plainText(line.function, line.number).trim() },
    ];
    return memkit.sortable("All lines", all, found, { sort: columns.indexOf(chosen) });
  }

  Object.assign(memkit, { lines, everyLine: every, sourceCell, textOf });
})(window.memkit);
