// What changed between recordings: the sentence, the facts beside each other, and functions, lines and paths by their change.
(memkit => {
  const { make, showBytes, showTime } = memkit;
  const SHOWN = { time: showTime };
  const MEASURES = ["growth", "rise", "peak", "allocated", "alive", "heap-peak", "time"];
  const MEMORY = ["growth", "rise", "alive"];
  const SAMPLED = ["alive", "heap-peak"];

  const signed = (measure, value) => {
    if (value === null || value === undefined) return "?";
    return measure === "time" ? `${value >= 0 ? "+" : ""}${showTime(value)}` : showBytes(value, true);
  };
  const median = values => {
    const sorted = [...values].sort((a, b) => a - b);
    return sorted.length ? Math.round((sorted[(sorted.length - 1) >> 1] + sorted[sorted.length >> 1]) / 2) : null;
  };
  const one = (measure, values) => (values.length ? (SHOWN[measure] ?? showBytes)(median(values)) : "?");
  const bracketed = (measure, change) => {
    if (!change) return "";
    const text = signed(measure, change.difference);
    return change.changed || change.difference === null ? text : `(${text})`;
  };
  const place = row => (row.after ?? row.before);
  const memory = row => (row.changes.growth || row.changes.time ? MEMORY : SAMPLED);
  const own = (row, by) => (by ? row.own[by] : memory(row).map(key => row.own[key]).reduce((so, each) => (Math.abs(each) > Math.abs(so) ? each : so), 0));

  function chosen(state) {
    const all = memkit.recording.comparisons;
    return all[Math.min(Number(state.of ?? 0), all.length - 1)];
  }

  function which(tab, state) {
    const all = memkit.recording.comparisons;
    if (all.length < 2) return null;
    return make("label", {}, "compare with", make("select", { onchange: event => memkit.go(tab, { ...state, of: event.target.value }) },
      all.map((each, at) => make("option", { value: String(at), selected: String(at) === (state.of ?? "0") }, names(each.after)))));
  }

  const said = sentence => sentence.replaceAll("`", "");
  const names = recordings => recordings.map(each => each.source ?? each.argv.join(" ")).join(", ");

  function summary(state) {
    const comparison = chosen(state);
    const heads = ["", "before", "after", "change"].map(name => make("th", { scope: "col" }, name));
    const rows = comparison.facts.map(fact => {
      const figure = comparison.figures[fact.figure];
      return make("tr", {}, make("td", { class: "left" }, fact.label), make("td", {}, fact.before ?? "?"), make("td", {}, fact.after ?? "?"),
        make("td", { class: figure?.changed ? "value" : "faint" }, figure ? bracketed(fact.figure, figure) : ""));
    });
    return make("div", {},
      make("div", { class: "controls" }, which("summary", state)),
      memkit.recording.comparisons.length > 1 ? make("p", { class: "value" }, `${names(comparison.after)}: ${said(comparison.sentence)}`) : null,
      comparison.exceeded.map(line => make("p", { class: "bad" }, line)),
      make("h2", {}, "Beside each other"),
      make("div", { class: "scroll" }, make("table", { class: "data", "aria-label": "facts" }, make("thead", {}, make("tr", {}, heads)), make("tbody", {}, rows))),
      make("p", { class: "faint" }, "What is in brackets is no change: it is within the noise of single recordings, or the spread of several."),
      comparison.remarks.map(remark => make("p", { class: "faint" }, remark)));
  }

  function list(kind) {
    return state => {
      const comparison = chosen(state);
      const wanted = (state.find ?? "").toLowerCase();
      const measures = MEASURES.filter(key => comparison[kind].some(row => row.changes[key]));
      const text = row => `${place(row).function.name} ${place(row).function.file} ${place(row).text}`.toLowerCase();
      const rows = comparison[kind].filter(row => (state.all || own(row, state.by)) && (!wanted || text(row).includes(wanted)));
      const columns = [
        { name: "own", value: row => own(row, state.by), show: row => signed(state.by, own(row, state.by)) },
        ...measures.map(key => ({ name: key, value: row => row.changes[key]?.difference ?? null, show: row => bracketed(key, row.changes[key]) })),
        { name: "", left: true, value: row => row.state, show: row => [...(row.state === "both" ? [] : [row.state]), ...row.notes].join(", ") },
        { name: kind.slice(0, -1), left: true, value: row => place(row).function.name, show: row => callers(comparison, kind, row) },
        { name: "where", left: true, value: row => memkit.place(place(row).function), show: row => where(row) },
      ];
      if (kind === "lines") columns.push({ name: "source", left: true, value: row => place(row).text });
      const sizes = rows.map(row => Math.abs(own(row, state.by)));
      const note = comparison.left_out?.[kind] ? make("p", { class: "faint" }, `${memkit.showCount(comparison.left_out[kind])} more that changed less are left out of the page`) : null;
      return make("div", {}, controls(kind, state, measures), kind === "paths" ? picture(comparison, state) : null, note,
        sizes.length ? memkit.sortable(`${kind} by their change`, columns, rows, { sort: 0 }) : make("p", {}, "Nothing of this changed."));
    };
  }

  const where = row => {
    const at = place(row);
    return at.function.file ? `${memkit.shortFile(at.function.file)}:${at.number ?? at.function.line}` : "";
  };

  function callers(comparison, kind, row) {
    if (kind !== "paths") return place(row).function.name;
    const byId = comparison.byId ??= new Map(comparison.paths.map(each => [each.id, each]));
    const found = [];
    for (let each = row; each && found.length < 6; each = byId.get(each.parent)) found.push(place(each).function.name);
    return found.join(" < ");
  }

  function controls(kind, state, measures) {
    const change = more => memkit.go(kind, { ...state, ...more });
    return make("div", { class: "controls" }, which(kind, state),
      make("label", {}, "own change of", make("select", { onchange: event => change({ by: event.target.value }) },
        make("option", { value: "" }, "what changed most"), measures.map(key => make("option", { value: key, selected: key === state.by }, key)))),
      make("label", {}, "find", make("input", { type: "search", value: state.find ?? "", onchange: event => change({ find: event.target.value }) })),
      make("button", { type: "button", "aria-pressed": state.all ? "true" : "false", onclick: () => change({ all: state.all ? "" : "1" }) }, "Those that did not change, too"));
  }

  function usual(rows) {
    if (rows.some(row => memory(row) === MEMORY)) return "growth";
    return SAMPLED.find(key => rows.some(row => row.own[key])) ?? "alive";
  }

  // Both trees in one: as wide as the larger of the two sides, red where it is more now, blue where it is less.
  function picture(comparison, state) {
    const by = state.by || usual(comparison.paths);
    const nodes = new Map();
    const top = { below: [], value: 0, width: 0, function: null, parent: null };
    const known = [...comparison.paths].sort((a, b) => a.id - b.id);
    for (const row of known) {
      const change = row.changes[by];
      const [before, after] = [median(change?.before ?? []) ?? 0, median(change?.after ?? []) ?? 0];
      const parent = nodes.get(row.parent) ?? top;
      const node = { id: String(row.id), row, function: place(row).function, parent, below: [], value: after - before, size: Math.max(Math.abs(before), Math.abs(after)) };
      nodes.set(row.id, node);
      parent.below.push(node);
    }
    for (const row of known.reverse()) {
      const node = nodes.get(row.id);
      node.width = Math.max(node.size, node.below.reduce((sum, each) => sum + each.width, 0));
      node.below.sort((a, b) => b.value - a.value);
    }
    top.width = top.below.reduce((sum, each) => sum + each.width, 0);
    const most = known.reduce((so, row) => Math.max(so, Math.abs(nodes.get(row.id).value)), 1);
    const shade = (node, dark) => {
      const part = Math.min(1, Math.abs(node.value) / most);
      if (part < 0.005) return dark ? "#33383e" : "#f0eeea";
      return node.value > 0 ? `hsl(14 ${dark ? 60 : 88}% ${dark ? 24 + 16 * part : 90 - 28 * part}%)` : `hsl(212 ${dark ? 45 : 80}% ${dark ? 24 + 16 * part : 92 - 26 * part}%)`;
    };
    let focus = top;
    const boxes = memkit.icicle({
      show: value => signed(by, value), shade, matches: () => true,
      chosen: node => { focus = focus === node ? node.parent : node; draw(); },
      entered: node => [make("div", { class: "value" }, node.function.name), make("div", { class: "faint" }, where(node.row)),
        ...MEASURES.filter(key => node.row.changes[key]).map(key => {
          const change = node.row.changes[key];
          return make("div", {}, `${key}: ${one(key, change.before)} → ${one(key, change.after)}, ${bracketed(key, change)}`);
        })],
    });
    const draw = () => boxes.draw({ focus, top, by: "", selected: focus === top ? null : focus });
    const element = make("div", {}, boxes.root, make("p", { class: "faint" }, `Width: ${by} before or after, whichever is more. Red is more than before, blue is less.`));
    memkit.whenShown(element, draw);
    return element;
  }

  const comparisonViews = () => {
    const any = kind => memkit.recording.comparisons.some(each => each[kind].length);
    return [
      ["summary", "Summary", true, summary],
      ["functions", "Functions", any("functions"), list("functions")],
      ["lines", "Lines", any("lines"), list("lines")],
      ["paths", "Paths", any("paths"), list("paths")],
    ];
  };

  Object.assign(memkit, { comparisonViews });
})(window.memkit);
