// The tree of calls as a picture needs it: without libraries, turned round, and with the weight of each call.
(memkit => {
  const HEAP = { heap: "alive", "heap-peak": "alive_at_peak", allocated: "allocated", temporary: "temporary" };
  const ADDED = new Set(["growth", "time", ...Object.keys(HEAP)]);  // what adds up over calls
  const NAMES = {
    growth: "growth", rise: "rise", peak: "peak", time: "time", allocated: "allocated", "heap-peak": "alive at the peak",
    heap: "alive", temporary: "temporary",
  };

  const own = (call, by) => (by in HEAP ? call.own_heap?.[HEAP[by]] ?? 0 : by === "peak" ? call.own_peak : call[`own_${by}`] ?? 0);
  const whole = (call, by) => (by in HEAP ? call.heap?.[HEAP[by]] ?? 0 : call[by] ?? 0);

  // Nodes are {call, function, parent, below, own, value}, sums for one measure. Roots have no parent.
  function build(calls, { by, hidden = null, process = null, inverted = false }) {
    const nodes = new Map();
    const merged = new Map();
    const top = { below: [], value: 0, own: 0, function: null, parent: null };
    const first = new Map();
    for (const call of calls) {
      const caller = call.parent === null ? null : nodes.get(call.parent);
      if (call.parent === null && process !== null && String(call.process ?? memkit.recording.about.pid) !== process) continue;
      if (call.parent !== null && !caller) continue;
      const outside = call.function.file ? hidden?.has(call.function.file) : first.get(call.parent);
      if (hidden && caller && !call.handed && outside) {
        first.set(call.id, true);
        nodes.set(call.id, caller);
        add(caller, call, by, true);
        continue;
      }
      const parent = caller ?? top;
      const key = `${parent === top ? `root ${call.thread} ${call.process}` : parent.id} ${call.function.file}\u0000${call.function.name}\u0000${call.function.line}`;
      let node = merged.get(key);
      if (!node) {
        node = { id: call.id, call, function: call.function, parent, below: [], own: 0, value: 0, calls: 0, handed: !!call.handed, about: 0 };
        merged.set(key, node);
        parent.below.push(node);
      }
      nodes.set(call.id, node);
      node.calls += call.calls;
      node.about += call.about ?? 0;
      add(node, call, by, false);
      node.value = ADDED.has(by) ? node.value + whole(call, by) : Math.max(node.value, whole(call, by));
    }
    top.value = ADDED.has(by) ? top.below.reduce((sum, node) => sum + node.value, 0) : top.below.reduce((so, node) => Math.max(so, node.value), 0);
    return inverted && ADDED.has(by) ? invert(top) : widen(top, by);
  }

  function add(node, call, by, folded) {
    node.own = ADDED.has(by) ? node.own + own(call, by) : Math.max(node.own, own(call, by));
    if (folded && by === "peak") node.value = Math.max(node.value, call.peak);
  }

  // A box is as wide as its call, or as what is below it together, if that is more: what one took, another may have freed.
  function widen(top, by) {
    const order = [];
    const ahead = [top];
    while (ahead.length) {
      const node = ahead.pop();
      order.push(node);
      ahead.push(...node.below);
    }
    const lowest = by === "peak" ? Math.min(...order.filter(node => node !== top).map(node => node.own)) : 0;
    for (const node of order.reverse()) {
      const below = node.below.reduce((sum, each) => sum + each.width, 0);
      node.width = Math.max(Math.abs(node === top ? 0 : node.value - lowest), below);
      node.below.sort((a, b) => b.value - a.value);
    }
    return top;
  }

  // The same turned round: functions at the top, by what they did themselves, and below each of them its callers.
  function invert(top) {
    const turned = { below: [], value: 0, own: 0, function: null, parent: null };
    const ahead = [...top.below];
    const known = new Map();
    while (ahead.length) {
      const node = ahead.pop();
      ahead.push(...node.below);
      if (!node.own) continue;
      turned.value += node.own;
      let into = turned;
      let path = "";
      for (let each = node; each !== top && each; each = each.parent) {
        path += `${each.function.file}\u0000${each.function.name}\u0000${each.function.line}\n`;
        let found = known.get(path);
        if (!found) {
          found = { id: `i${known.size}`, call: each.call, function: each.function, parent: into, below: [], own: 0, value: 0, calls: 0, handed: each.handed, about: 0 };
          known.set(path, found);
          into.below.push(found);
        }
        found.value += node.own;
        if (into === turned) { found.own += node.own; found.calls += node.calls; found.about += node.about; }
        into = found;
      }
    }
    return widen(turned, "growth");
  }

  function measures() {
    const { recording } = memkit;
    if (recording.heap?.sampled) return ["heap-peak", "heap", "allocated"];  // nothing else is known of stacks that were sampled
    const counted = recording.calls.some(call => call.heap);
    const rose = recording.calls.some(call => call.rise !== null && call.rise !== undefined);
    return Object.keys(NAMES).filter(key => (key in HEAP ? counted : key !== "rise" || rose));
  }

  // What is said of a value beside it: one standard error, where it is an estimate from samples.
  function error(call, by, own = false) {
    const heap = own ? call.own_heap : call.heap;
    const size = heap?.errors?.[HEAP[by]];
    return size ? ` ±${memkit.showBytes(size)}` : "";
  }

  const show = (value, by) => (by === "time" ? memkit.showTime(value) : memkit.showBytes(value, by === "growth"));
  const rootsOf = pid => memkit.recording.calls.filter(call => call.parent === null && (call.process ?? null) === pid).length;

  Object.assign(memkit, { tree: { build, measures, show, error, NAMES, ADDED }, rootsOf });
})(window.memkit);
