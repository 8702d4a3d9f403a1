// Calls: the same tree as boxes and as a table, by whatever was measured.
(memkit => {
  const { make, showTime, showCount, showBytes } = memkit;
  const { build, measures, show, error, NAMES, ADDED } = memkit.tree;
  const OPENED = 0.05;
  const MOST_ROWS = 1500;
  const AROUND = 12;

  function calls(given) {
    const state = { ...given };
    const { recording, view } = memkit;
    const libraries = new Set(view.libraries);
    const all = measures();
    if (!all.includes(state.by)) state.by = standing(all);
    const hidden = state.libraries === "show" ? null : libraries;
    const top = build(recording.calls, { by: state.by, hidden, process: state.process || null, inverted: state.invert === "1" });
    const nodes = everyNode(top);
    let wanted = (state.find ?? "").toLowerCase();
    let hits = [];
    let at = -1;
    const opened = new Set([...nodes.values()].filter(node => top.width && node.width / top.width >= OPENED).map(node => node.id));
    let focus = nodes.get(state.at) ?? top;
    let selected = focus === top ? null : focus;

    const named = of => `${of.name}\n${of.file}`.toLowerCase().includes(wanted);
    const matches = node => !wanted || named(node.function);
    const count = make("span", { class: "faint", "aria-live": "polite", id: "matches" });
    const detail = make("div", { id: "frame", "aria-live": "polite" });
    const picture = memkit.icicle({ show: value => show(value, state.by), chosen: choose, entered: tip, matches });
    const body = make("tbody");
    const table = make("div", { class: "tree" }, make("table", { class: "data", role: "treegrid", "aria-label": "tree of calls" },
      make("thead", {}, make("tr", {}, [NAMES[state.by], "own", "calls"].map(name => make("th", { scope: "col", title: memkit.meaning(name) }, name, memkit.termLink(name))),
        make("th", { scope: "col", class: "left" }, "function"))), body));

    const change = more => memkit.go("calls", { ...state, at: "", ...more });
    const toggle = (name, pressed, more, why = null) => make("button", { type: "button", "aria-pressed": pressed ? "true" : "false", disabled: !!why, title: why, onclick: () => change(more) }, name);
    const search = make("input", { type: "search", id: "find", value: state.find ?? "", placeholder: "function or file",
      oninput: event => find(event.target.value), onkeydown: event => { if (event.key === "Enter") { event.preventDefault(); next(event.shiftKey ? -1 : 1); } } });
    const controls = make("div", { class: "controls" },
      make("label", {}, "by", make("select", { id: "by", onchange: event => change({ by: event.target.value }) },
        all.map(key => make("option", { value: key, selected: key === state.by }, NAMES[key])))),
      make("label", {}, "find", search), count,
      make("button", { type: "button", id: "reset", onclick: () => change({ find: "", invert: "", process: "", libraries: "" }) }, "Reset"),
      toggle("Callers", state.invert === "1", { invert: state.invert === "1" ? "" : "1" }, ADDED.has(state.by) ? null : `${NAMES[state.by]} does not add up over callers`),
      toggle("Libraries", state.libraries === "show", { libraries: state.libraries === "show" ? "" : "show" }),
      state.process ? make("span", { class: "faint" }, `only process ${state.process}`) : null);

    function find(text) {
      wanted = text.toLowerCase();
      state.find = text;
      memkit.note("calls", state);
      hits = wanted ? [...nodes.values()].filter(matches) : [];
      at = -1;
      const sum = ADDED.has(state.by) ? hits.reduce((so, node) => so + (state.invert === "1" ? (node.parent === top ? node.own : 0) : node.own), 0) : null;
      count.textContent = wanted ? counted(sum) : "";
      redraw();
    }

    function counted(sum) {
      const found = `${showCount(hits.length)} match${hits.length === 1 ? "" : "es"}`;
      if (hits.length) return sum === null ? found : `${found}, ${show(sum, state.by)} of their own`;
      const inside = hidden ? recording.calls.filter(call => hidden.has(call.function.file) && named(call.function)).length : 0;
      return inside ? `${found}; ${showCount(inside)} in libraries, which are hidden` : found;
    }

    function next(step) {
      if (!hits.length) return;
      at = (at + step + hits.length) % hits.length;
      choose(hits[at], false);
    }

    function choose(node, zoom) {
      selected = node;
      if (zoom) focus = focus === node ? node.parent ?? top : node;
      for (let above = node.parent; above && above !== top; above = above.parent) opened.add(above.id);
      if (zoom) opened.add(node.id);
      if (focus !== top && !within(node, focus)) focus = top;
      state.at = focus === top ? "" : focus.id;
      memkit.note("calls", state);
      redraw();
      body.querySelector(".chosen")?.scrollIntoView({ block: "nearest" });
    }

    const within = (node, above) => { for (let each = node; each; each = each.parent) if (each === above) return true; return false; };

    function redraw() {
      picture.draw({ focus, top, by: state.by, selected });
      body.replaceChildren(...rows());
      detail.replaceChildren(...(selected ? described(selected, state.by) : []));
    }

    function rows() {
      const found = [];
      const ahead = [...top.below].reverse().map(node => [node, 0]);
      while (ahead.length && found.length < MOST_ROWS) {
        const [node, depth] = ahead.pop();
        found.push(row(node, depth));
        if (opened.has(node.id)) ahead.push(...[...node.below].reverse().map(below => [below, depth + 1]));
      }
      if (ahead.length) found.push(make("tr", {}, make("td", { colspan: 4, class: "left faint" }, "more rows: close some, or search")));
      return found;
    }

    function row(node, depth) {
      const open = opened.has(node.id);
      const sign = node.below.length ? (open ? "▾ " : "▸ ") : "  ";
      const element = make("tr", {
        tabindex: 0, class: node === selected ? "chosen" : null, "aria-level": depth + 1, "aria-expanded": node.below.length ? String(open) : null,
        onclick: event => (event.target.closest(".opener") ? flip(node) : choose(node, false)),
        ondblclick: () => choose(node, true),
        onkeydown: event => keys(event, node),
      },
        make("td", {}, show(node.value, state.by) + (node.call.heap?.[FIELD[state.by]] === node.value ? error(node.call, state.by) : "")),
        make("td", {}, node.own ? show(node.own, state.by) : ""), make("td", {}, node.calls ? showCount(node.calls) : ""),
        make("td", { class: "left" }, " ".repeat(Math.min(depth, 40)), make("span", { class: "opener" }, sign),
          make("span", { class: wanted && matches(node) ? "value" : null }, label(node)), make("span", { class: "faint" }, `  ${memkit.place(node.function)}`)));
      return element;
    }

    function flip(node) {
      if (!opened.delete(node.id)) opened.add(node.id);
      redraw();
    }

    function keys(event, node) {
      const element = event.currentTarget;
      const moves = { ArrowDown: element.nextElementSibling, ArrowUp: element.previousElementSibling };
      const acts = {
        ArrowRight: () => !opened.has(node.id) && node.below.length && flip(node), ArrowLeft: () => opened.has(node.id) && flip(node),
        Enter: () => choose(node, true), " ": () => choose(node, false),
      };
      if (!(event.key in moves) && !(event.key in acts)) return;
      event.preventDefault();
      const place = [...body.children].indexOf(element);
      acts[event.key]?.();
      (moves[event.key] ?? body.children[Math.min(place, body.children.length - 1)])?.focus();
    }

    const hint = `Callers above what they called. Width: ${NAMES[state.by]}, or that of what they called together, if it is more. Colour: peak, the darker the higher. Hatched: shrank. ↷ work that was handed over.`;
    const element = make("div", {}, controls, make("div", { class: "split" }, make("div", {}, picture.root, make("p", { class: "faint" }, hint), detail), table));
    memkit.whenShown(element, () => find(state.find ?? ""));
    element.gone = picture.gone;
    return element;
  }

  function standing(all) {
    const { recording } = memkit;
    if (recording.heap?.sampled) return "heap-peak";
    const roots = recording.calls.filter(call => call.parent === null);
    if (roots.some(call => Math.abs(call.growth) >= 128 * 1024)) return "growth";
    return all.includes("rise") && recording.calls.some(call => call.rise >= 128 * 1024) ? "rise" : "time";
  }

  function everyNode(top) {
    const found = new Map();
    const ahead = [...top.below];
    while (ahead.length) {
      const node = ahead.pop();
      node.id = String(node.id);
      found.set(node.id, node);
      ahead.push(...node.below);
    }
    return found;
  }

  const FIELD = { heap: "alive", "heap-peak": "alive_at_peak", allocated: "allocated" };
  const label = node => `${node.handed ? "↷ " : ""}${node.function.name}`;

  function tip(node) {
    const { call } = node;
    const heap = key => `${showBytes(call.heap[FIELD[key]])}${error(call, key)}`;
    const sampled = memkit.recording.heap?.sampled;
    return [make("div", { class: "value" }, label(node)), make("div", { class: "faint" }, memkit.place(node.function)),
      sampled ? null : make("div", {}, `growth ${call.about ? "about " : ""}${showBytes(call.growth, true)}, rise ${showBytes(call.rise)}, peak ${showBytes(call.peak)}, ${showTime(call.time)}, ${showCount(node.calls)} call${node.calls === 1 ? "" : "s"}`),
      call.heap ? make("div", {}, `allocated ${heap("allocated")}, alive ${heap("heap")}, at the peak ${heap("heap-peak")}${sampled ? "" : `, temporary ${showBytes(call.heap.temporary)}`}`) : null,
      node.handed ? make("div", { class: "faint" }, "handed over to another thread, process or task") : null].filter(each => each);
  }

  // What is known of a frame, and its source around where it begins.
  function described(node, by) {
    const of = node.function;
    const parts = [make("h3", {}, label(node), make("span", { class: "faint" }, `  ${of.file ? `${of.file}:${of.line}` : "no source: in C, or the root of a thread"}`)),
      make("p", {}, `${NAMES[by]} ${show(node.value, by)}${node.own ? `, itself ${show(node.own, by)}` : ""}`), ...tip(node).slice(2)];
    const rows = [];
    let indent = null;
    for (let number = of.line; of.file && number < of.line + AROUND; number += 1) {
      const text = memkit.textOf(of.file, number, of);
      if (text === null) break;
      const line = text.map(piece => piece.textContent).join("");
      const deep = line.search(/\S/);
      if (indent !== null && deep >= 0 && deep <= indent && !/^\s*[)\]}]/.test(line)) break;  // what follows the function
      if (indent === null && /^\s*(async\s+def|def|class)\b/.test(line)) indent = deep;
      rows.push(make("tr", {}, make("td", { class: "faint" }, String(number)), make("td", { class: "source" }, text)));
    }
    if (rows.length) parts.push(make("div", { class: "scroll" }, make("table", { class: "data", "aria-label": `source of ${of.name}` }, make("tbody", {}, rows))));
    return parts;
  }

  Object.assign(memkit, { calls });
})(window.memkit);
