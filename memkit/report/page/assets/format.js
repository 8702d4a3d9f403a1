// What people read: bytes and times as every report of memkit writes them.
(memkit => {
  const SIZES = ["B", "KiB", "MiB", "GiB", "TiB"];

  // Rounded as Python does: a value in the middle goes to the even digit, where toFixed goes away from 0.
  function fixed(value, digits) {
    const scaled = Math.abs(value) * 10 ** digits;
    const low = Math.floor(scaled);
    const middle = (value * 8) % 1 === 0 && scaled - low === 0.5;
    return middle && low % 2 === 0 ? `${value < 0 ? "-" : ""}${(low / 10 ** digits).toFixed(digits)}` : value.toFixed(digits);
  }

  function showBytes(size, sign = false) {
    if (size === null || size === undefined) return "?";
    let power = 0;
    while (power < SIZES.length - 1 && Math.abs(size) >= 1024 ** (power + 1)) power += 1;
    const text = fixed(size / 1024 ** power, power ? 1 : 0);
    return `${sign && size >= 0 ? "+" : ""}${text} ${SIZES[power]}`;
  }

  function showTime(time) {
    if (time === null || time === undefined) return "?";
    if (time < 0) return `-${showTime(-time)}`;
    const two = number => String(number).padStart(2, "0");
    if (time >= 3600e9) {
      const minutes = Number(fixed(time / 60e9, 0));
      return `${Math.floor(minutes / 60)} h ${two(minutes % 60)} min`;
    }
    if (time >= 60e9) {
      const seconds = Number(fixed(time / 1e9, 0));
      return `${Math.floor(seconds / 60)} min ${two(seconds % 60)} s`;
    }
    for (const [unit, name] of [[1e9, "s"], [1e6, "ms"], [1e3, "µs"]]) {
      if (time >= unit) {
        const value = time / unit;
        return `${fixed(value, value < 10 ? 2 : value < 100 ? 1 : 0)} ${name}`;
      }
    }
    return `${time} ns`;
  }

  const showCount = count => (count === null || count === undefined ? "?" : count.toLocaleString("en-US"));

  // Control characters, and marks that change the direction of text, would hide what a name is.
  const ODD = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069\ufeff]/g;
  const plain = text => String(text).replace(ODD, mark => `\\x${mark.charCodeAt(0).toString(16).padStart(2, "0")}`);

  // An element with its attributes and what is in it. Text is always text: nothing from a recording becomes markup.
  function make(tag, attributes = {}, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
      else if (value === true) element.setAttribute(name, "");
      else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
    }
    for (const child of children.flat()) {
      if (child !== null && child !== undefined) element.append(child instanceof Node ? child : plain(child));
    }
    return element;
  }

  function shortFile(file) {
    const parts = file.replace(/\\/g, "/").split("/");
    const library = parts.findLastIndex(part => part === "site-packages" || part === "dist-packages" || /^python\d/.test(part));
    return library >= 0 && library < parts.length - 1 ? parts.slice(library + 1).join("/") : parts.slice(-1)[0];
  }

  function place(of) {
    return of.file ? `${memkit.view.names[of.file] ?? shortFile(of.file)}:${of.line}` : "";
  }

  const colour = name => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

  Object.assign(memkit, { showBytes, showTime, showCount, plain, make, place, shortFile, colour });
})(window.memkit ??= {});
