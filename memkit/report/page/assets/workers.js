// Workers over time, one below the other on one scale, what they ran below each curve; who was worst, and the tasks by label.
(memkit => {
  const { make, showBytes, showTime, showCount } = memkit;
  const MOST = 24;
  const POINTS = 400;
  const MOST_SPANS = 200;                   // of a lane
  const WIDE = 1000, HIGH = 100, STRIP = 9; // of the picture of a lane, and of the spans at its foot
  const ORDERS = { peak: (a, b) => b.peak - a.peak, name: (a, b) => a.name.localeCompare(b.name, "en", { numeric: true }),
    ended: (a, b) => (ended(a) ?? Infinity) - (ended(b) ?? Infinity) };

  let opened = null;                        // the place of the worker that is open
  let changed = null;                       // of that which was just opened or closed: it has the focus again, and is in sight

  const processOf = row => memkit.recording.processes[row.place];
  const ended = row => processOf(row).ended;
  const called = row => (row.machine ? `${row.name} on ${row.machine}` : row.name);
  const among = (kind, row) => memkit.recording[kind].filter(each => {
    const process = processOf(row);
    const own = each.process === process.pid || (each.process === null && row.place === 0);
    const at = each.start ?? each.time;
    return own && at >= process.started && at <= (process.ended ?? Infinity);
  });

  function workers(state) {
    const { rows, labels } = memkit.view.workers;
    const chosen = rows.find(row => String(row.place) === state.worker);
    const to = change => memkit.go("workers", { ...state, ...change });
    const parts = [summary(rows), deaths(rows), controls(rows, state, to)];
    changed = (chosen?.place ?? null) !== opened ? chosen?.place ?? opened : null;
    opened = chosen?.place ?? null;
    const ordered = [...rows].sort(ORDERS[state.by] ?? ORDERS.peak);
    const shown = ordered.filter((row, place) => state.all || place < MOST || row === chosen);
    parts.push(key(labels, state, to), pictures(shown, coloured(labels), chosen, state, to));
    if (rows.length > MOST) parts.push(make("p", {}, make("button", { type: "button", onclick: () => to({ all: state.all ? "" : "1" }) },
      state.all ? "Show fewer" : `Show all ${showCount(rows.length)}`)));
    if (labels.length) parts.push(make("h2", {}, "Tasks by label"), labelTable(labels, rows, to));
    parts.push(words(rows));
    return make("div", {}, parts);
  }

  function summary(rows) {
    const worst = rows[0];
    const { limit } = processOf(worst);
    const machines = new Set(rows.map(row => row.machine)).size;
    const share = limit ? `, ${Math.round((100 * worst.peak) / limit)} % of its limit of ${showBytes(limit)}` : "";
    const ran = worst.ran.length ? `; it ran ${worst.ran.join(", ")} then` : "";
    return make("p", { id: "worst-worker" }, `${showCount(rows.length)} processes of workers${machines > 1 ? ` on ${machines} machines` : ""}. `,
      worst.at === null ? "None of them was seen." : ["Highest: ", make("a", { href: `#workers?worker=${worst.place}` }, called(worst)),
        ", ", make("span", { class: "value" }, showBytes(worst.peak)), ` at ${showTime(worst.at)}${share}${ran}.`]);
  }

  function deaths(rows) {
    const died = rows.filter(row => row.died);
    return died.length ? make("ul", { id: "died" }, died.map(row => make("li", {},
      make("a", { href: `#workers?worker=${row.place}` }, called(row)), " ", make("span", { class: "bad" }, processOf(row).ending.text),
      ended(row) === null ? "" : ` at ${showTime(ended(row))}`, row.left.length ? `; it was in ${row.left.join(", ")}` : ""))) : null;
  }

  function controls(rows, state, to) {
    return make("div", { class: "controls" }, make("label", {}, "order by",
      make("select", { id: "order", onchange: event => to({ by: event.target.value }) },
        Object.keys(ORDERS).map(name => make("option", { value: name, selected: name === state.by }, name)))),
    make("span", { class: "faint" }, "a click, or Enter, opens a worker; arrows go from one to the next"));
  }

  // A colour for each of those labels that rose highest.
  const coloured = labels => new Map(labels.slice(0, memkit.COLOURS.length).map(({ label }, place) => [label, memkit.COLOURS[place]]));

  function key(labels, state, to) {
    const entries = [...coloured(labels)].map(([label, colour]) => {
      const patch = make("i");
      patch.style.background = colour;
      return make("button", { type: "button", class: "key", "aria-pressed": String(state.label === label), title: "only these below the curves",
        onclick: () => to({ label: state.label === label ? "" : label }) }, patch, label.length > 40 ? `${label.slice(0, 39)}…` : label);
    });
    const line = (name, which) => ({ name, colour: memkit.colour(which) });
    return make("div", {}, memkit.legend([line("memory", "memory"), line("peak", "peak"), { ...line("limit", "limit"), dashed: true, term: "limit" }, line("killed or failed", "bad")]),
      make("div", { class: "legend" }, entries));
  }

  // The lanes, machine by machine where there are several.
  function pictures(rows, colours, chosen, state, to) {
    const top = rows.reduce((most, row) => Math.max(most, row.peak), 1);
    const limits = rows.map(row => processOf(row).limit ?? 0).filter(limit => limit < 2 * top);
    const scale = Math.max(top, ...limits) * 1.04;
    const samples = memkit.lanesOf(memkit.recording);
    const from = Math.min(...rows.map(row => processOf(row).started));
    const end = Math.max(from + 1, memkit.recording.duration, ...rows.flatMap(row => [ended(row) ?? 0, samples[row.place].at(-1)?.time ?? 0]));
    const box = make("div", { class: "lanes", "aria-label": `memory of each worker over time, up to ${showBytes(Math.round(scale))}` });
    const machines = [...new Set(rows.map(row => row.machine))];
    for (const machine of machines) {
      if (machines.length > 1) box.append(make("h3", {}, machine || "elsewhere"));
      for (const row of rows.filter(each => each.machine === machine)) {
        const element = lane(row, samples[row.place], [scale, from, end], colours, row === chosen, state, to);
        box.append(element);
        if (row === chosen) box.append(memkit.worker(row, called(row), among("spans", row), among("crossings", row)));
        if (row.place === changed) memkit.whenShown(element, () => element.focus());
      }
    }
    const [drawn, all] = [memkit.recording.spans.length, memkit.view.workers.labels.reduce((sum, { number }) => sum + number, 0)];
    const note = drawn < all ? make("p", { class: "faint" }, `Of ${showCount(all)} tasks those that rose most are below the curves, up to ${MOST_SPANS} of a worker.`) : null;
    const ticks = make("div", { class: "ticks faint" }, [0, 1, 2, 3, 4].map(quarter => make("span", {}, showTime(Math.round(from + ((end - from) * quarter) / 4)))));
    return make("div", {}, box, ticks, note);
  }

  function lane(row, samples, room, colours, chosen, state, to) {
    const process = processOf(row);
    const pick = () => to({ worker: chosen ? "" : String(row.place) });
    const element = make("div", { class: "lane", role: "button", tabindex: 0, "aria-pressed": String(chosen),
      "aria-label": `${called(row)}, peak ${showBytes(row.peak)}, ${process.ending.text}`,
      onclick: pick,
      onkeydown: event => {
        if (event.key === "Enter" || event.key === " ") { event.preventDefault(); pick(); }
        const all = [...element.parentElement.querySelectorAll(".lane")];
        const beside = all[all.indexOf(element) + ({ ArrowDown: 1, ArrowUp: -1 }[event.key] ?? NaN)];
        if (beside) { event.preventDefault(); beside.focus(); }
      } },
    make("div", {}, make("div", { class: "code name" }, row.name), make("div", {}, make("span", { class: "value" }, showBytes(row.peak)),
      process.limit ? make("span", { class: "faint" }, ` of ${showBytes(process.limit)}`) : ""),
    row.died ? make("div", { class: "bad" }, process.ending.text.split(/ \(|: /)[0]) : make("div", { class: "faint" }, `process ${process.pid}`)),
    picture(row, samples, room, colours, state.label));
    return element;
  }

  function drawn(tag, attributes, title = null) {
    const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    if (title) {
      const text = document.createElementNS("http://www.w3.org/2000/svg", "title");
      text.textContent = memkit.plain(title);
      element.append(text);
    }
    return element;
  }

  // `room` is the memory that the picture is high, and the times at its left and its right.
  function picture(row, samples, [scale, first, last], colours, label) {
    const process = processOf(row);
    const across = time => (WIDE * (Math.min(time, last) - first)) / (last - first);
    const down = size => (HIGH - STRIP - 2) * (1 - size / scale);
    const root = drawn("svg", { viewBox: `0 0 ${WIDE} ${HIGH}`, preserveAspectRatio: "none", "aria-hidden": "true" });
    const points = thinned(samples, (last - first) / POINTS);
    if (points.length) {
      const steps = of => points.map((each, at) => `${at ? "H" : "M"}${across(each.time).toFixed(1)} ${at ? "V" : ""}${down(of(each)).toFixed(1)}`).join("");
      const end = across(process.ended ?? last).toFixed(1);
      const memory = `${steps(each => each.memory)}H${end}`;
      root.append(drawn("path", { class: "area", d: `${memory}V${down(0)}H${across(points[0].time).toFixed(1)}Z` }),
        drawn("path", { class: "high", d: `${steps(each => each.peak)}H${end}` }), drawn("path", { class: "memory", d: memory }));
    }
    const crossed = among("crossings", row);
    const sizes = new Set([process.limit, ...crossed.map(each => each.limit)].filter(size => size && size <= scale));
    for (const size of sizes) root.append(drawn("path", { class: "limit", d: `M0 ${down(size).toFixed(1)}H${WIDE}` }, showBytes(size)));
    for (const each of crossed) root.append(drawn("path", { class: "crossing", d: `M${across(each.time).toFixed(1)} 0V${down(0)}` }, `${showTime(each.time)}: ${each.name}`));
    if (row.died && process.ended !== null) root.append(drawn("path", { class: "death", d: `M${across(process.ended).toFixed(1)} 0V${HIGH}` }, process.ending.text));
    for (const span of among("spans", row).sort((a, b) => b.rise - a.rise).slice(0, MOST_SPANS).sort((a, b) => a.start - b.start)) {
      if (label && span.label !== label) continue;
      const [from, to] = [across(span.start), across(span.end ?? process.ended ?? last)];
      root.append(drawn("rect", { x: from.toFixed(1), y: HIGH - STRIP, width: Math.max(to - from, 1).toFixed(1), height: STRIP, fill: colours.get(span.label) ?? "#8a8a8a" },
        `${span.label}: ${showTime(span.start)}, rise ${showBytes(span.rise)}`));
    }
    return root;
  }

  // Of each stretch of time the highest memory and the highest peak.
  function thinned(samples, step) {
    const found = [];
    let stretch = null;
    for (const sample of samples) {
      const at = Math.floor(sample.time / step);
      const last = found.at(-1);
      if (at === stretch) Object.assign(last, { memory: Math.max(last.memory, sample.memory), peak: Math.max(last.peak, sample.peak) });
      else found.push({ time: sample.time, memory: sample.memory, peak: sample.peak });
      stretch = at;
    }
    return found;
  }

  function labelTable(labels, rows, to) {
    const byPlace = new Map(rows.map(row => [row.place, row]));
    const size = (name, term, key, sign = false) => ({ name, term, value: row => row[key], show: row => (row[key] === null ? "" : showBytes(row[key], sign)) });
    const worst = row => (row.worst ? byPlace.get(row.worst.place) : null);
    const some = key => labels.some(row => row[key] !== null);
    return memkit.sortable("Tasks by label", [
      { name: "label", term: "span", left: true, value: row => row.label },
      { name: "number", value: row => row.number, show: row => (row.number ? showCount(row.number) : "unfinished") },
      { name: "time", value: row => row.time, show: row => (row.number ? showTime(row.time) : "") },
      ...(some("heap") ? [size("highest peak", "peak", "heap"), size("kept", "alive", "kept")] : []),
      size("worst rise", "rise", "rise"), size("median", "rise", "median"), size("growth", "growth", "growth", true),
      ...(labels.some(row => row.overlapped) ? [{ name: "overlapped", value: row => row.overlapped, show: row => showCount(row.overlapped) }] : []),
      { name: "worst in", left: true, value: row => (worst(row) ? called(worst(row)) : ""),
        show: row => (worst(row) ? make("a", { href: `#workers?worker=${row.worst.place}` }, called(worst(row))) : "?") },
      { name: "at", value: row => row.worst?.at ?? null, show: row => showTime(row.worst?.at) },
      ...(labels.some(row => row.worst?.key) ? [{ name: "key", left: true, value: row => row.worst?.key ?? "" }] : []),
    ], labels, { sort: 3, chosen: row => to({ label: row.label }) });
  }

  // What was said as memory reached something, in the words of what the workers run in.
  function words(rows) {
    const said = rows.flatMap(row => among("crossings", row).map(crossing => ({ row, crossing })));
    return said.length ? make("div", {}, make("h2", {}, "Limits that were reached"), memkit.sortable("Limits that were reached", [
      { name: "at", value: ({ crossing }) => crossing.time, show: ({ crossing }) => showTime(crossing.time) },
      { name: "worker", left: true, value: ({ row }) => called(row) },
      { name: "memory", value: ({ crossing }) => crossing.memory, show: ({ crossing }) => showBytes(crossing.memory) },
      { name: "limit", value: ({ crossing }) => crossing.limit, show: ({ crossing }) => (crossing.limit ? showBytes(crossing.limit) : "") },
      { name: "what", left: true, value: ({ crossing }) => crossing.name, show: ({ crossing }) => make("div", { class: "wrap" }, crossing.name) },
    ], said, { sort: 0, descending: false })) : null;
  }

  Object.assign(memkit, { workers });
})(window.memkit);
