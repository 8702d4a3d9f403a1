// The processes of a recording: their curves on top of each other, and a table in which each opens its own.
(memkit => {
  const { make, showBytes, showTime, showCount } = memkit;
  const MOST_LANES = 12;
  const POINTS = 1200;
  const COLOURS = ["#1f6fb4", "#d1603d", "#2e8b57", "#8e5ea2", "#b8860b", "#3a9ea5", "#c26a96", "#7d8f2a", "#6f7fd1", "#a0522d", "#86c5a4", "#e3a1a1"];

  // The samples of each process. A number that another process has later is that one's from when it began.
  function lanesOf(recording) {
    const byPid = new Map();
    for (const sample of recording.others) {
      if (!byPid.has(sample.pid)) byPid.set(sample.pid, []);
      byPid.get(sample.pid).push(sample);
    }
    const next = new Map();
    const found = new Array(recording.processes.length);
    const order = recording.processes.map((_, place) => place).sort((a, b) => recording.processes[b].started - recording.processes[a].started);
    for (const place of order) {
      const process = recording.processes[place];
      const until = next.get(process.pid) ?? Infinity;
      next.set(process.pid, process.started);
      found[place] = process.pid === recording.about.pid && process.started === 0
        ? recording.samples
        : (byPid.get(process.pid) ?? []).filter(sample => sample.time >= process.started && sample.time < until && sample.time <= (process.ended ?? Infinity));
    }
    return found;
  }

  const highest = lane => lane.reduce((most, sample) => Math.max(most, sample.peak), 0);

  function resampled(lane, process, times) {
    let place = 0;
    const end = process.ended ?? Infinity;
    return times.map(time => {
      while (place < lane.length && lane[place].time <= time) place += 1;
      return place === 0 || time > end ? 0 : lane[place - 1].memory;
    });
  }

  function lanes() {
    const { recording } = memkit;
    const all = lanesOf(recording);
    const step = Math.max(1, recording.duration / POINTS);
    const times = Array.from({ length: POINTS + 1 }, (_, place) => place * step);
    const order = all.map((_, place) => place).sort((a, b) => highest(all[b]) - highest(all[a]));
    const shown = order.slice(0, MOST_LANES).sort((a, b) => a - b);
    const layers = shown.map((place, number) => ({
      name: nameOf(recording.processes[place]), colour: COLOURS[number % COLOURS.length], values: resampled(all[place], recording.processes[place], times),
    }));
    const rest = order.slice(MOST_LANES);
    if (rest.length) {
      const sums = times.map(() => 0);
      for (const place of rest) resampled(all[place], recording.processes[place], times).forEach((size, at) => { sums[at] += size; });
      layers.push({ name: `${showCount(rest.length)} smaller processes`, colour: "#a8a8a8", values: sums });
    }
    for (let layer = 1; layer < layers.length; layer += 1) {
      layers[layer].values = layers[layer].values.map((size, at) => size + layers[layer - 1].values[at]);
    }
    const series = layers.reverse().map(layer => ({ ...layer, fill: layer.colour, width: 1 }));
    const entries = [...series].reverse().map(({ name, colour }) => ({ name, colour }));
    if (recording.totals.length) {
      let at = 0;
      const together = times.map(time => {
        while (at < recording.totals.length && recording.totals[at].time <= time) at += 1;
        return at ? recording.totals[at - 1].memory : null;
      });
      series.push({ name: "together", colour: "total", values: together, width: 2 });
      entries.push({ name: recording.summed === "pss" ? "together, shared pages once (PSS)" : "together, sum of RSS", colour: memkit.colour("total") });
    }
    const note = "Resident memory of each process, on top of each other: shared pages are in each of them.";
    return make("div", {}, make("p", { class: "faint" }, note), memkit.legend(entries), memkit.chart(times, series));
  }

  const short = (text, most) => (text.length > most ? `${text.slice(0, most - 3)}...` : text);
  const nameOf = ({ pid, title }) => `${pid} ${short(title, 60)}`;

  function processes() {
    const { recording } = memkit;
    const all = lanesOf(recording);
    const rows = recording.processes.map((process, place) => ({ process, lane: all[place], place, peak: highest(all[place]) }));
    const opened = make("div", { "aria-live": "polite" });
    const table = memkit.sortable("Processes", [
      { name: "pid", value: row => row.process.pid },
      { name: "parent", value: row => row.process.parent, show: row => String(row.process.parent ?? "?") },
      { name: "began", value: row => row.process.started, show: row => showTime(row.process.started) },
      { name: "lived", term: "time", value: row => (row.process.ended ?? recording.duration) - row.process.started,
        show: row => showTime((row.process.ended ?? recording.duration) - row.process.started) },
      { name: "peak", value: row => row.peak, show: row => (row.lane.length ? showBytes(row.peak) : "not seen") },
      { name: "last", term: "memory", value: row => row.lane.at(-1)?.memory ?? null, show: row => (row.lane.length ? showBytes(row.lane.at(-1).memory) : "") },
      { name: "ending", left: true, value: row => row.process.ending.text, show: row => short(row.process.ending.text, 44) },
      { name: "command", left: true, value: row => row.process.title },
    ], rows, { sort: 4, chosen: row => open(row, opened) });
    const parts = [table];
    if (recording.unrecorded.length) {
      parts.push(make("h2", {}, "Seen, but not recorded"), memkit.sortable("Processes that were not recorded", [
        { name: "pid", value: row => row.pid },
        { name: "memory", value: row => row.memory, show: row => `${showBytes(row.memory)} or more` },
        { name: "command", left: true, value: row => row.command },
      ], recording.unrecorded, { sort: 1 }));
    }
    return make("div", {}, parts, opened);
  }

  function open({ process, lane, place }, into) {
    const { recording } = memkit;
    const parts = [make("h2", {}, `${process.pid}: ${process.title}`), make("p", {}, process.ending.text)];
    if (lane.length) {
      const times = lane.map(sample => sample.time);
      parts.push(memkit.chart(times, [
        { name: "memory", colour: "memory", values: lane.map(sample => sample.memory), width: 2 },
        { name: "peak", colour: "peak", values: lane.map(sample => sample.peak) },
      ]));
    }
    const own = memkit.rootsOf(place === 0 ? null : process.pid);
    if (own) parts.push(make("p", {}, make("a", { href: `#calls?process=${process.pid}` }, `calls of this process (${showCount(own)} root${own === 1 ? "" : "s"})`)));
    else if (recording.calls.length) parts.push(make("p", { class: "faint" }, "No calls of this process were traced, or they are below what handed the work over."));
    if (memkit.everyLine().length) {
      parts.push(make("p", {}, make("a", { href: "#lines" }, "Lines"), " are summed up over all processes that were traced."));
    }
    into.replaceChildren(...parts);
  }

  Object.assign(memkit, { lanes, lanesOf, processes, COLOURS });
})(window.memkit);
