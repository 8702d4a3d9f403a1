// The first view: how it ended, the facts, and the curve.
(memkit => {
  const { make, showBytes, showTime, colour } = memkit;
  const MOST_BANDS = 400;
  const MANY = 10;            // spans of a label from which on there is a table of labels, and only the worst are shown
  const WORST = 24;
  const MOST_ATTRIBUTES = 4;

  function overview() {
    const { recording, view } = memkit;
    const hover = make("p", { class: "hover", "aria-live": "polite" });
    const stacks = make("div", { id: "stacks" });
    const labels = (recording.span_sums ?? []).filter(sums => sums.number >= MANY);
    const spans = [...recording.spans].sort((one, other) => other.rise - one.rise).slice(0, labels.length ? WORST : MOST_BANDS);
    const parts = [memkit.facts(view.facts)];
    if (view.kinds.length) parts.push(make("h2", {}, "What stands out"), make("ul", {}, view.kinds.map(kind)));
    if (view.unknown) parts.push(make("p", {}, view.unknown));
    if (recording.samples.length || recording.totals.length) {
      const { chart, entries } = curve(spans, hover, stacks);
      parts.push(make("h2", {}, "Memory over time"), memkit.legend(entries), chart, hover, stacks);
      show(moments()[0], stacks);
    }
    if (recording.processes.length > 1) parts.push(make("h2", {}, "Processes, stacked"), memkit.lanes());
    if (labels.length) parts.push(make("h2", {}, "Spans by label"), labelTable(recording.span_sums, recording.span_heaps), ...labels.filter(sums => sums.leak).map(leak), ...view.allocators.flatMap(allocators));
    if (spans.length) parts.push(make("h2", {}, spans.length < recording.spans.length ? "Spans that rose most" : "Spans"), spanTable(spans), ...insides(spans));
    return make("div", {}, parts);
  }

  function kind({ text, tab, find, where }) {
    const link = make("a", { class: "code", href: `#${tab}?find=${encodeURIComponent(find)}` }, where);
    return make("li", {}, `${tab === "lines" ? "line" : "function"} `, link, ` ${text}`);
  }

  function curve(spans, hover, stacks) {
    const { recording } = memkit;
    const together = recording.totals.length > 0;
    const rows = together ? recording.totals : recording.samples;
    const times = rows.map(row => row.time);
    const column = key => rows.map(row => row[key]);
    const first = recording.processes.length > 1 ? " of the first process" : "";
    const series = [{ name: together ? "all processes together" : `memory${first}`, colour: "memory", values: column("memory"), width: 2 }];
    const entries = [{ name: series[0].name, colour: colour("memory"), term: together ? "PSS" : "memory" }];
    const bands = [];
    if (!together) {
      series.push({ name: "peak", colour: "peak", values: column("peak") });
      entries.push({ name: `peak${first}${recording.peak_is_exact ? ", exact" : ""}`, colour: colour("peak"), term: "peak" });
    } else if (rows.some(row => row.estimated || row.below || row.above)) {
      series.push({ name: "at most", colour: "peak", values: rows.map(row => row.memory + (row.above ?? row.estimated)), dash: [3, 3] },
        { name: "at least", colour: "peak", values: rows.map(row => Math.max(0, row.memory - (row.below ?? row.estimated))), dash: [3, 3] });
      bands.push({ series: [2, 3], fill: `${colour("peak")}24` });
      entries.push({ name: "at least, at most", colour: colour("peak"), dashed: true });
    }
    if (recording.group.length) {
      series.push({ name: "control group", colour: "group", values: times.map(time => last(recording.group, time)?.used ?? null), dash: [6, 3] });
      entries.push({ name: "control group", colour: colour("group"), dashed: true });
    }
    const marks = [labelsOf(spans)];
    marks.push(...recording.crossings.map(each => memkit.upright(each.time, colour("limit"), [4, 3])));
    const highest = Math.max(...column("memory"), ...(together ? [0] : column("peak")));
    let most = highest;
    for (const limit of recording.limits) {
      if (limit.level !== null && limit.level < highest * 3) {
        most = Math.max(most, limit.level);
        marks.push(memkit.level(limit.level, `${limit.name}, ${showBytes(limit.size)}`, "limit"));
      }
    }
    const named = new Set(["cgroup", ...recording.limits.map(each => each.name)]);
    const shared = recording.crossings.filter(each => !together || named.has(each.name));   // others are of one process, and not of all
    for (const size of new Set(shared.map(each => each.limit))) marks.push(memkit.level(size, "limit that was set", "limit"));
    if (memkit.view.failed) {
      marks.push(memkit.upright(recording.processes[0]?.ended ?? recording.duration, colour("bad")));
      entries.push({ name: `end: ${memkit.view.brief}`, colour: colour("bad") });
    }
    if (recording.crossings.length) entries.push({ name: "limit reached", colour: colour("limit"), dashed: true, term: "crossing" });
    if (spans.length) entries.push({ name: "span", colour: colour("span") });
    const chart = memkit.chart(times, series, {
      marks, bands, most, under: [bandsOf(spans)],
      moved: (place, time) => hover.replaceChildren(...told(rows, place, time, spans)),
      clicked: time => show(nearest(time), stacks),
    });
    return { chart, entries };
  }

  // The last row at or before a moment.
  function last(rows, time) {
    let [low, high] = [0, rows.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (rows[middle].time <= time) low = middle + 1;
      else high = middle;
    }
    return rows[low - 1];
  }

  function told(rows, place, time, spans) {
    const row = rows[place];
    if (time === null || !row) return [make("span", { class: "faint" }, "point at the curve for what was at a moment; click for the stacks that are known near it")];
    const open = spans.filter(span => span.start <= time && (span.end ?? Infinity) >= time).sort((a, b) => a.depth - b.depth);
    const peak = row.peak === undefined ? "" : `, peak ${showBytes(row.peak)}`;
    const known = nearest(time);
    const ran = known && Math.abs(known.time - time) < memkit.recording.duration / 50 ? frameOf(known) : null;
    return [
      make("span", { class: "value" }, `${showTime(Math.round(row.time))}: ${showBytes(row.memory)}`), peak,
      open.length ? ` — in ${open.map(span => span.label).join(" › ")}` : "",
      ran ? ` — ran near here: ${ran}` : "",
    ];
  }

  const frameOf = ({ stacks }) => {
    const frame = stacks[0]?.frames[0];
    return frame ? `${frame.function} (${memkit.shortFile(frame.file)}:${frame.line})` : null;
  };

  // The moments of which the stacks of the threads are known.
  function moments() {
    const { recording } = memkit;
    const found = recording.crossings.filter(each => each.stacks.length).map(each => ({ ...each, why: "the limit was reached" }));
    if (recording.glance) found.push({ ...recording.glance, why: recording.glance.asked ? "as they were asked for" : "memory last rose near a limit" });
    return found.sort((one, other) => one.time - other.time);
  }

  function nearest(time) {
    return moments().sort((one, other) => Math.abs(one.time - time) - Math.abs(other.time - time))[0] ?? null;
  }

  function show(moment, into) {
    if (!moment) return into.replaceChildren();
    return into.replaceChildren(
      make("h2", {}, `Stacks at ${showTime(moment.time)}: ${moment.why}`),
      ...moment.stacks.map(stack => make("div", {},
        make("h3", {}, stack.name ?? `thread ${stack.thread}`),
        make("table", { class: "data", "aria-label": `stack of ${stack.name ?? stack.thread}` }, make("tbody", {}, stack.frames.map(frame =>
          make("tr", {}, make("td", { class: "left" }, `${memkit.shortFile(frame.file)}:${frame.line}`),
            make("td", { class: "left" }, frame.function),
            make("td", { class: "source" }, (memkit.textOf(frame.file, frame.line) ?? []).map(piece => piece.textContent).join("").trim()))))))));
  }

  // What a span takes of the picture, in pixels of the canvas; null where nothing of it is shown.
  function extent(span, plot) {
    const [from, to] = [span.start, span.end ?? memkit.recording.duration].map(each => plot.valToPos(each / 1e9, "x", true));
    const [left, right] = [Math.max(from, plot.bbox.left), Math.min(to, plot.bbox.left + plot.bbox.width)];
    return right > left ? [left, right - left] : null;
  }

  const bandsOf = spans => (context, plot) => {
    context.save();
    context.fillStyle = colour("span");
    for (const span of spans) {
      const [left, width] = extent(span, plot) ?? [0, 0];
      if (!width) continue;
      context.globalAlpha = 0.13;
      context.fillRect(left, plot.bbox.top, Math.max(width, 1), plot.bbox.height);
      context.globalAlpha = 0.7;
      context.fillRect(left, plot.bbox.top, devicePixelRatio, plot.bbox.height);
    }
    context.restore();
  };

  const labelsOf = spans => (context, plot) => {
    context.save();
    context.fillStyle = colour("span");
    context.textAlign = "left";
    context.textBaseline = "alphabetic";
    context.font = `600 ${11 * devicePixelRatio}px system-ui, sans-serif`;
    const letter = context.measureText("m").width;
    for (const span of spans) {
      const [left, width] = extent(span, plot) ?? [0, 0];
      const text = memkit.plain(span.label);
      const room = width - 6;
      const short = context.measureText(text).width <= room ? text : `${text.slice(0, Math.max(0, Math.floor(room / letter) - 1))}…`;
      if (width && (short.length > 3 || short === text)) {
        context.fillText(short, left + 3, plot.bbox.top + (12 + 13 * (span.depth % 6)) * devicePixelRatio);
      }
    }
    context.restore();
  };

  function spanTable(spans) {
    const size = (name, term) => ({ name, term, value: span => span[name], show: span => showBytes(span[name], name === "growth") });
    const names = [...new Set(spans.flatMap(span => Object.keys(span.attributes ?? {})))].slice(0, MOST_ATTRIBUTES);
    const attribute = name => ({ name, left: true, value: span => String(span.attributes?.[name] ?? "") });
    return memkit.sortable("Spans", [
      { name: "span", left: true, value: span => span.label },
      { name: "began", value: span => span.start, show: span => showTime(span.start) },
      { name: "took", term: "time", value: span => (span.end === null ? null : span.end - span.start),
        show: span => (span.end === null ? "unfinished" : showTime(span.end - span.start)) },
      size("growth"), size("rise"), size("peak"),
      ...(spans.some(span => span.overlapped) ? [{ name: "overlapped", left: true, value: span => (span.overlapped ? "yes" : "") }] : []),
      ...names.map(attribute),
    ], spans, { sort: 4 });
  }

  // What grew and rose most inside the worst span of each label, where lines or calls were traced.
  function insides(spans) {
    const worst = new Map();
    for (const span of spans) if (span.inside?.length && !worst.has(span.label)) worst.set(span.label, span);
    return [...worst.values()].flatMap(span => {
      const [rise, growth, took] = [showBytes(span.rise), showBytes(span.growth, true), showTime(span.end - span.start)];
      const shared = span.overlapped ? ", with all that overlapped it" : "";
      const head = make("p", {}, make("b", {}, span.label), ` rose ${rise} and grew ${growth} in ${took}${shared}; inside it`);
      return [head, make("ul", {}, [...span.inside].sort(byRise).map(insideRow))];
    });
  }

  // The lines, or paths, that allocated most in spans of a label.
  const allocators = ([label, rows]) => [make("p", {}, make("b", {}, label), " allocated by"), make("ul", {}, rows.map(heapRow))];

  const heapRow = each => make("li", {}, `${showBytes(each.alive)} alive, ${showBytes(each.allocated)} allocated: `, ...placeOf(each));

  const byRise = (one, other) => (one.line !== null) - (other.line !== null) || other.rise - one.rise;  // paths first

  function placeOf({ path, line }) {
    const names = path.filter(each => each.file).map(each => each.name).reverse().slice(0, 4);
    const last = path[path.length - 1];
    const place = `${last.file.split("/").pop()}:${line ?? last.line}`;
    const tab = line === null ? "calls" : "lines";
    const link = make("a", { class: "code", href: `#${tab}?find=${encodeURIComponent(last.name)}` }, last.file ? place : last.name);
    return [link, ` ${names.join(" < ")}`];
  }

  function insideRow(each) {
    const own = each.line === null ? "own growth" : "growth";
    return make("li", {}, `${showBytes(each.rise)} rise, ${showBytes(each.growth, true)} ${own}: `, ...placeOf(each));
  }

  // Of all spans of each label: medians are off by at most 1/32, all else is exact.
  function labelTable(all, heaps) {
    const alive = new Map();
    for (const { labels, heap } of heaps) for (const label of new Set(labels)) alive.set(label, (alive.get(label) ?? 0) + heap.alive);
    const of = (name, measure, value, show, term = null) => {
      const found = sums => (sums[measure] ? value(sums[measure], sums) : null);
      return { name, term: term ?? name, value: found, show: sums => (sums[measure] ? show(Math.round(found(sums))) : "?") };
    };
    const worst = spread => spread.worst;
    const each = (spread, sums) => spread.total / sums.number;
    const heap = heaps.length > 0;
    const peaks = all.some(sums => sums.heap_peak);
    const left = (name, value) => ({ name, value, show: sums => showBytes(Math.round(value(sums))) });
    return memkit.sortable("Spans by label", [
      { name: "label", term: "span", left: true, value: sums => sums.label },
      { name: "spans", value: sums => sums.number, show: sums => sums.number.toLocaleString("en") },
      of("median time", "time", spread => spread.median, showTime, "time"), of("worst time", "time", worst, showTime, "time"),
      of("worst rise", "rise", worst, showBytes, "rise"),
      ...(heap ? [
        of("allocated each", "allocated", each, showBytes, "allocated"), ...(peaks ? [of("highest peak", "heap_peak", worst, showBytes, "peak")] : []),
        left("alive", sums => alive.get(sums.label) ?? 0), left("alive each", sums => (alive.get(sums.label) ?? 0) / sums.number),
      ] : []),
      ...(all.some(sums => sums.overlapped) ? [{ name: "overlapped", value: sums => sums.overlapped, show: sums => sums.overlapped.toLocaleString("en") }] : []),
    ], all, { sort: heap ? 6 + peaks : 4 });
  }

  function leak(sums) {
    const kept = Math.round(sums.leak.kept);
    const what = `leak: ${sums.label} kept ${showBytes(kept)} a span over its last ${sums.leak.spans.toLocaleString("en")}, net of what was freed`;
    return make("p", {}, what, ...who(sums.label));
  }

  // Which line of a label that leaks, or which path, has most of what grew; what code has that is not traced; how to tell.
  function who(label) {
    const { untraced, most, place, unknown } = memkit.view.keepers[label];
    const parts = [untraced, unknown].filter(Boolean).map(words => `; ${words}`);
    return place ? [...parts, `; ${most}`, ...placeOf(place)] : parts;
  }

  Object.assign(memkit, { overview, spanTable });
})(window.memkit);
