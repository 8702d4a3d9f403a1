// The tree of calls as boxes: callers above what they called, as wide as their share.
(memkit => {
  const { make, colour } = memkit;
  const LEVEL = 21;
  const NARROWEST = 0.4;
  const MOST_LEVELS = 600;

  // `shade` is the colour of a node; without it, that of its peak. `focus` is the node that fills the width; its callers stand above it, as wide as all.
  function icicle({ show, chosen, entered, matches, shade = null }) {
    const canvas = make("canvas", { tabindex: 0, role: "img", "aria-label": "tree of calls; the table beside it says the same" });
    const root = make("div", { class: "icicle" }, canvas);
    const tip = make("div", { class: "tip hidden" });
    document.body.append(tip);
    let levels = [];
    let state = { focus: null, top: null, by: "growth", selected: null };

    function place(focus, top) {
      const found = [];
      const above = [];
      for (let node = focus; node && node !== top; node = node.parent) above.push(node);
      above.reverse().forEach((node, level) => { found[level] = [{ node, left: 0, width: 1 }]; });
      const start = Math.max(0, above.length - 1);
      const ahead = [{ node: focus, left: 0, width: 1, level: focus === top ? -1 : start }];
      const least = NARROWEST / Math.max(1, root.clientWidth);
      while (ahead.length) {
        const box = ahead.pop();
        if (box.node !== focus) (found[box.level] ??= []).push(box);
        let left = box.left;
        for (const below of box.node.below) {
          const width = box.node.width ? (box.width * below.width) / box.node.width : 0;
          if (width >= least && box.level + 1 < MOST_LEVELS) ahead.push({ node: below, left, width, level: box.level + 1 });
          left += width;
        }
      }
      for (let level = 0; level < found.length; level += 1) (found[level] ??= []).sort((a, b) => a.left - b.left);
      return found;
    }

    function draw(next = state) {
      state = next;
      levels = place(state.focus, state.top);
      const ratio = devicePixelRatio;
      const width = root.clientWidth || 800;
      const height = Math.max(1, levels.length) * LEVEL;
      canvas.width = width * ratio;
      canvas.height = Math.min(height * ratio, 16000);
      canvas.style.height = `${height}px`;
      const context = canvas.getContext("2d");
      context.scale(ratio, ratio);
      context.font = "12px ui-monospace, monospace";
      context.textBaseline = "middle";
      const letter = context.measureText("m").width;
      const palette = { line: colour("back"), freed: colour("freed"), hatch: colour("freed-line"), select: colour("select"), dark: matchMedia("(prefers-color-scheme: dark)").matches && !memkit.printing };
      const [low, high] = shade ? [0, 0] : peaks();
      levels.forEach((boxes, level) => boxes.forEach(box => paint(context, box, level, width, letter, palette, low, high)));
    }

    // The lowest and the highest of the whole tree, so that zooming keeps the colours; equal where they are nearly so.
    let known = null;
    function peaks() {
      if (known?.top === state.top) return known.ends;
      let [low, high] = [Infinity, 1];
      const ahead = [...state.top.below];
      while (ahead.length) {
        const node = ahead.pop();
        low = Math.min(low, node.call.own_peak);
        high = Math.max(high, node.call.peak);
        ahead.push(...node.below);
      }
      known = { top: state.top, ends: high - low < 0.02 * high ? [0, 0] : [low, high] };
      return known.ends;
    }

    function paint(context, { node, left, width }, level, whole, letter, palette, low, high) {
      const [x, y, w] = [left * whole, level * LEVEL, width * whole];
      const shrank = state.by === "growth" && node.value < 0;
      const part = !shade && high > low ? (node.call.peak - low) / (high - low) : 0.5;
      context.globalAlpha = matches(node) ? 1 : 0.25;
      context.fillStyle = shade ? shade(node, palette.dark) : shrank ? palette.freed : heat(part, palette.dark);
      context.fillRect(x, y, Math.max(w - 0.6, 0.4), LEVEL - 1);
      if (shrank) hatch(context, x, y, w, palette.hatch);
      if (node === state.selected) {
        context.strokeStyle = palette.select;
        context.lineWidth = 2.5;
        context.strokeRect(x + 1.2, y + 1.2, Math.max(w - 3, 1), LEVEL - 3.4);
      }
      const room = Math.floor((w - 7) / letter);
      if (room < 3) return;
      const name = memkit.plain(`${node.handed ? "↷ " : ""}${node.function.name}`);
      const text = `${name}  ${show(node.value)}`;
      context.fillStyle = palette.dark ? "#f2f2f2" : "#111";
      context.fillText(text.length <= room ? text : name.length <= room ? name : `${name.slice(0, room - 1)}…`, x + 4, y + LEVEL / 2);
    }

    const heat = (part, dark) => (dark ? `hsl(${48 - 33 * part} 55% ${30 + 8 * part}%)` : `hsl(${50 - 32 * part} 92% ${86 - 20 * part}%)`);

    function hatch(context, x, y, w, stroke) {
      context.save();
      context.beginPath();
      context.rect(x, y, Math.max(w - 0.6, 0.4), LEVEL - 1);
      context.clip();
      context.strokeStyle = stroke;
      context.lineWidth = 1;
      context.beginPath();
      for (let at = x - LEVEL; at < x + w; at += 7) { context.moveTo(at, y + LEVEL); context.lineTo(at + LEVEL, y); }
      context.stroke();
      context.restore();
    }

    function hit(event) {
      const box = canvas.getBoundingClientRect();
      const level = Math.floor((event.clientY - box.top) / LEVEL);
      const at = (event.clientX - box.left) / box.width;
      return levels[level]?.find(each => at >= each.left && at < each.left + each.width)?.node ?? null;
    }

    canvas.addEventListener("mousemove", event => {
      const node = hit(event);
      tip.classList.toggle("hidden", !node);
      canvas.style.cursor = node ? "pointer" : "default";
      if (!node) return;
      tip.replaceChildren(...entered(node));
      tip.style.left = `${Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8)}px`;
      tip.style.top = `${Math.min(event.clientY + 16, innerHeight - tip.offsetHeight - 8)}px`;
    });
    canvas.addEventListener("mouseleave", () => tip.classList.add("hidden"));
    canvas.addEventListener("click", event => {
      const node = hit(event);
      tip.classList.add("hidden");
      if (node) chosen(node, true);
    });
    canvas.addEventListener("keydown", event => {
      const node = state.selected ?? state.focus;
      const beside = step => { const row = node.parent?.below ?? []; return row[row.indexOf(node) + step]; };
      const to = { ArrowDown: () => node.below[0], ArrowUp: () => node.parent, ArrowLeft: () => beside(-1), ArrowRight: () => beside(1) }[event.key]?.();
      if (to && to !== state.top) chosen(to, false);
      if (event.key === "Enter") chosen(node, true);
      if (event.key.startsWith("Arrow") || event.key === "Enter") event.preventDefault();
    });
    memkit.whenColoursChange(() => state.focus && root.isConnected && draw());
    new ResizeObserver(() => state.focus && draw()).observe(root);
    return { root, draw, gone: () => tip.remove() };
  }

  Object.assign(memkit, { icicle });
})(window.memkit);
