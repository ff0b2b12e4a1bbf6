// The board of `widgets.draw_digit`: strokes in, one message at a time out, answers drawn. Nothing is loaded from elsewhere.

const HELP =
  "Drawing board. Arrow keys move the pen, two at a time go aslant; the space bar puts it down and lifts it; " +
  "Backspace takes the last stroke back; Delete clears.";
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/** An element with properties and children; `aria` and `data` attributes are set by name. */
function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.includes("-") || name === "role") element.setAttribute(name, value);
    else element[name] = value;
  }
  element.append(...children);
  return element;
}

/** A picture of side × side pixels with a caption, and the functions that fill it. */
function picture(name, side) {
  const canvas = make("canvas", { width: side, height: side, role: "img", "aria-label": `${name}: empty` });
  const note = make("span", { className: "ae-note" });
  const figure = make("figure", {}, canvas, make("figcaption", {}, make("span", { textContent: name }), note));
  const context = canvas.getContext("2d");
  return {
    figure,
    show(pixels, text) {
      context.putImageData(grey(pixels, side), 0, 0);
      note.textContent = text;
      canvas.setAttribute("aria-label", text ? `${name}: ${text}` : name);
    },
    clear() {
      context.clearRect(0, 0, side, side);
      note.textContent = "";
      canvas.setAttribute("aria-label", `${name}: empty`);
    },
  };
}

function grey(pixels, side) {
  const image = new ImageData(side, side);
  const whole = new Uint32Array(image.data.buffer); // four bytes at once: opaque, and the same in red, green and blue
  for (let i = 0; i < whole.length; i++) whole[i] = 0xff000000 + pixels[i] * 0x010101;
  return image;
}

/** Bytes of a message's part, whichever form the front end gives it. */
function bytes(part) {
  return part instanceof ArrayBuffer
    ? new Uint8Array(part)
    : new Uint8Array(part.buffer, part.byteOffset, part.byteLength);
}

/** The code as bars around zero, each on a band that says where training codes lie. SVG, so that it follows the theme. */
function bars(low, high) {
  const reach = 1.3 * Math.max(1e-6, ...low.map(Math.abs), ...high.map(Math.abs));
  const y = (value) => 50 - 50 * Math.max(-1, Math.min(1, value / reach));
  const box = (i, from, to, width) => {
    const [top, bottom] = [Math.min(y(from), y(to)), Math.max(y(from), y(to))];
    return `M${i + 0.5 - width / 2} ${top}h${width}v${Math.max(bottom - top, 0.4)}h${-width}z`;
  };
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  svg.setAttribute("viewBox", `0 0 ${low.length} 100`);
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("role", "img");
  const paths = ["band", "zero", "bar", "beyond"].map((name) => {
    const path = document.createElementNS(space, "path");
    path.setAttribute("class", `ae-${name}`);
    svg.append(path);
    return path;
  });
  paths[0].setAttribute("d", low.map((value, i) => box(i, value, high[i], 0.9)).join(""));
  paths[1].setAttribute("d", `M0 50H${low.length}`);
  return {
    svg,
    reach,
    show(code) {
      const within = [], beyond = [];
      code.forEach((value, i) => {
        if (!Number.isFinite(value)) return;
        (value < low[i] || value > high[i] ? beyond : within).push(box(i, 0, value, 0.55));
      });
      paths[2].setAttribute("d", within.join(""));
      paths[3].setAttribute("d", beyond.join(""));
    },
    clear() {
      paths[2].setAttribute("d", "");
      paths[3].setAttribute("d", "");
    },
  };
}

function render({ model, el }) {
  const about = model.get("about");
  const { side, fine } = about;
  const view = Math.random().toString(36).slice(2); // one widget may be shown twice; each answer has its addressee
  const none = "Nothing drawn yet. Draw a digit on the black board, or press Example.";

  // --- What is seen

  const board = make("canvas", { className: "ae-board", tabIndex: 0, role: "application", "aria-label": HELP });
  const button = (text, act, title) => {
    const element = make("button", { type: "button", textContent: text, title });
    element.addEventListener("click", act);
    return element;
  };
  const width = make("input", { type: "range", min: "1", max: "5", step: "0.25", value: "2.25" });
  const wide = make("output", {});
  const centre = make("input", { type: "checkbox", checked: true });
  const tools = make(
    "div",
    { className: "ae-tools", role: "group", "aria-label": "Drawing tools" },
    button("Clear", () => clear(), "Wipe the board (Delete)"),
    button("Undo", () => undo(), "Take the last stroke back (Backspace)"),
    button("Example", () => example(), "Load a test digit"),
    ...(about.noise ? [button("New noise", () => (seed++, changed()), "Draw the noise anew")] : []),
    make("label", {}, "brush width ", width, wide),
    make("label", {}, centre, " centre and scale as MNIST does"),
  );
  const help = make("p", {
    className: "ae-help",
    textContent: "Keys: arrows move the pen, space puts it down and lifts it, Backspace undoes, Delete clears.",
  });
  const said = make("p", { className: "ae-said", textContent: none });
  const alarm = make("p", { className: "ae-alarm", role: "alert", hidden: true });
  const spoken = make("p", { className: "ae-spoken", "aria-live": "polite" }); // for screen readers, not at every frame
  const pictures = about.pictures.map((name) => picture(name, side));
  const nearest = Array.from({ length: about.nearest }, (_, i) => picture(`no. ${i + 1}`, side));
  const code = bars(about.low, about.high);
  const beyond = make("p", { className: "ae-caption" });
  const table = make("table", {});
  const body = make("tbody", {});
  table.append(make("caption", { textContent: `squared error, summed over the ${side * side} pixels` }), body);
  const block = (title, ...inside) =>
    make("section", { "aria-label": title }, make("p", { className: "ae-title", textContent: title }), ...inside);
  const results = make(
    "div",
    { className: "ae-results" },
    block(`what the network gets and gives, ${side} × ${side} pixels`, row(pictures)),
    block(`its code: ${about.low.length} numbers; shaded: ${about.band}`, code.svg, beyond),
    block("nearest training images, by squared error to your drawing", row(nearest)),
    table,
  );
  const root = make(
    "div",
    { className: "aetutor-draw" },
    make("div", { className: "ae-left" }, board, tools, help),
    make("div", { className: "ae-right" }, said, alarm, results),
    spoken,
  );
  // JupyterLab looks at keys before the board does, and would walk to the next cell.
  root.dataset.lmSuppressShortcuts = root.dataset.pSuppressShortcuts = root.dataset.jpSuppressContextMenu = "true";
  el.append(root);
  // JupyterLab's own keys, such as arrows from cell to cell, rest only where the focus itself says so.
  for (const one of root.querySelectorAll("canvas[tabindex], button, input")) one.dataset.lmSuppressShortcuts = "true";

  const lines = []; // of the table, made once: names stay
  function scored(name, floor) {
    const number = make("td", { className: "ae-number" });
    const bar = make("div", { className: floor ? "ae-bar ae-floor" : "ae-bar" });
    const cells = [make("th", { scope: "row", textContent: name }), number, make("td", { "aria-hidden": "true" }, bar)];
    return { number, bar, row: make("tr", {}, ...cells) };
  }

  function row(of) {
    return make("div", { className: "ae-row" }, ...of.map((one) => one.figure));
  }

  // --- The drawing: strokes in units of the image's pixels

  const strokes = []; // {points: [[x, y], …], width} or {image: canvas}
  let pen = null; // the stroke under way
  let seed = 0;
  let shown = 0; // examples so far
  const small = make("canvas", { width: fine * side, height: fine * side }); // what is sent
  const ink = small.getContext("2d", { willReadFrequently: true });

  function paint(context, scale) {
    context.setTransform(scale, 0, 0, scale, 0, 0);
    context.fillStyle = "black";
    context.fillRect(0, 0, side, side);
    context.strokeStyle = context.fillStyle = "white";
    context.lineCap = context.lineJoin = "round";
    context.imageSmoothingEnabled = false; // an example arrives pixel for pixel
    for (const { points, width: thick, image } of strokes) {
      if (image) {
        context.globalCompositeOperation = "lighten";
        context.drawImage(image, 0, 0, side, side);
        context.globalCompositeOperation = "source-over";
        continue;
      }
      context.lineWidth = thick;
      context.beginPath();
      context.moveTo(points[0][0] - 0.01, points[0][1]); // a dot has a length, too
      for (const point of points) context.lineTo(...point);
      context.stroke();
    }
  }

  const cursor = { x: side / 2, y: side / 2, seen: false };
  let across = 0; // the board's width in the page; to ask for it at every frame would lay out the page each time

  function look() {
    const wanted = Math.round(across * (window.devicePixelRatio || 1));
    if (!wanted) return; // not in the page yet
    if (board.width !== wanted) board.width = board.height = wanted;
    const context = board.getContext("2d");
    paint(context, wanted / side);
    if (!cursor.seen) return;
    // A ring with a rim: seen on ink and on paper. Filled while the pen is down.
    for (const [colour, line] of [["black", 0.7], ["white", 0.3]]) {
      context.beginPath();
      context.arc(cursor.x, cursor.y, Math.max(0.9, width.value / 2 + 0.4), 0, 7);
      context.lineWidth = line;
      context.strokeStyle = colour;
      context.stroke();
    }
    context.beginPath();
    context.arc(cursor.x, cursor.y, 0.5, 0, 7);
    context.fillStyle = pen ? "black" : "white";
    context.fill();
  }

  function begin(x, y) {
    pen = { points: [[x, y]], width: Number(width.value) };
    strokes.push(pen);
    changed();
  }

  function lift() {
    pen = null;
    look();
  }

  function undo() {
    pen = null;
    strokes.pop();
    changed();
  }

  function clear() {
    pen = null;
    strokes.length = 0;
    changed();
  }

  function example() {
    const all = bytes(model.get("examples"));
    const start = (shown++ % about.examples) * side * side;
    const image = make("canvas", { width: side, height: side });
    image.getContext("2d").putImageData(grey(all.subarray(start, start + side * side), side), 0, 0);
    strokes.length = 0;
    strokes.push({ image });
    pen = null;
    changed();
  }

  // --- Mouse, finger, pen

  const place = (event) => {
    const box = board.getBoundingClientRect();
    return [((event.clientX - box.left) / box.width) * side, ((event.clientY - box.top) / box.height) * side];
  };
  let pointer = null;
  board.addEventListener("pointerdown", (event) => {
    if (pointer !== null || event.button !== 0) return; // a second finger, another button
    event.preventDefault();
    board.focus({ preventScroll: true });
    pointer = event.pointerId;
    try {
      board.setPointerCapture(pointer);
    } catch {
      // it has gone already
    }
    cursor.seen = false;
    begin(...place(event));
  });
  board.addEventListener("pointermove", (event) => {
    if (event.pointerId !== pointer || !pen) return;
    const passed = event.getCoalescedEvents?.() ?? [];
    for (const point of passed.length ? passed : [event]) pen.points.push(place(point));
    changed();
  });
  for (const end of ["pointerup", "pointercancel", "lostpointercapture"]) {
    board.addEventListener(end, (event) => {
      if (event.pointerId !== pointer) return;
      pointer = null;
      lift();
    });
  }

  // --- Keys

  const held = new Set();
  board.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key in ARROWS) {
      held.add(event.key);
      const [x, y] = [...held].map((key) => ARROWS[key]).reduce(([a, b], [c, d]) => [a + c, b + d], [0, 0]);
      cursor.x = Math.max(0, Math.min(side, cursor.x + x));
      cursor.y = Math.max(0, Math.min(side, cursor.y + y));
      cursor.seen = true;
      if (pen) {
        pen.points.push([cursor.x, cursor.y]);
        changed();
      } else look();
    } else if (event.key === " ") {
      cursor.seen = true;
      const at = `row ${Math.round(cursor.y)}, column ${Math.round(cursor.x)}`;
      if (!event.repeat && pen) {
        lift();
        speak(`pen up at ${at}`);
      } else if (!event.repeat) {
        begin(cursor.x, cursor.y);
        speak(`pen down at ${at}`);
      }
    } else if (event.key === "Backspace") undo();
    else if (event.key === "Delete") clear();
    else if (event.key === "Escape") lift();
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
  board.addEventListener("keyup", (event) => held.delete(event.key));
  board.addEventListener("blur", () => {
    held.clear();
    cursor.seen = false;
    if (pointer === null) lift();
  });

  // --- Asking: the newest drawing goes out only when the last is answered, so that nothing queues

  const count = (root.counts = { sent: 0, answered: 0 });
  let waiting = 0; // when the last question went out; 0: none is under way
  let dirty = false;
  let frame = 0;
  let late = 0;

  function changed() {
    dirty = true;
    frame ||= requestAnimationFrame(next);
  }

  function next() {
    frame = 0;
    look();
    if (dirty && !waiting) send();
  }

  function send() {
    dirty = false;
    if (!strokes.length) return empty();
    paint(ink, fine);
    const colours = ink.getImageData(0, 0, small.width, small.height).data;
    const page = new Uint8Array(small.width * small.height);
    for (let i = 0; i < page.length; i++) page[i] = colours[4 * i];
    waiting = performance.now();
    late = setTimeout(wait, 1500);
    count.sent++;
    try {
      const question = { kind: "drawing", view, frame: count.sent, centre: centre.checked, seed };
      model.send(question, undefined, [page.buffer]);
    } catch (error) {
      heard();
      fail(`The drawing did not reach the kernel (${error.message}). Run this cell again.`);
    }
  }

  function wait() {
    const seconds = Math.round((performance.now() - waiting) / 1000);
    said.textContent =
      seconds < 10
        ? "Waiting for the network…"
        : `No answer for ${seconds} seconds. Is the kernel busy? If it was restarted, run this cell again.`;
    late = setTimeout(wait, 1000);
  }

  function heard() {
    clearTimeout(late);
    waiting = 0;
  }

  function answer(content, parts) {
    if (content.view !== view) return;
    count.answered++;
    heard();
    if (content.kind === "error") fail(content.said);
    else if (content.empty || !strokes.length) empty();
    else tell(content, parts);
    if (dirty) changed();
  }
  model.on("msg:custom", answer);

  function tell(content, parts) {
    alarm.hidden = true;
    results.classList.remove("ae-stale");
    const [pixels, numbers] = parts.map(bytes);
    const part = (i) => pixels.subarray(i * side * side, (i + 1) * side * side);
    const errors = Object.fromEntries(content.errors.map(({ name, text }) => [name, `error ${text}`]));
    const moved = Math.abs(content.scale - 1) < 0.005 ? "" : `size × ${content.scale.toFixed(2)}`;
    pictures.forEach((one, i) => one.show(part(i), i ? (errors[about.pictures[i]] ?? "") : moved));
    nearest.forEach((one, i) => one.show(part(pictures.length + i), content.notes[i]));
    code.show(new Float32Array(numbers.slice().buffer)); // a copy, since floats must begin at a multiple of 4
    const usual = (0.02 * about.low.length).toFixed(1);
    const out = `${content.beyond} of ${about.low.length} numbers outside (usual: ${usual}), drawn hollow`;
    beyond.textContent = `${out}; axis from −${code.reach.toFixed(1)} to ${code.reach.toFixed(1)}`;
    code.svg.setAttribute("aria-label", `Bars: ${out}`);
    const most = Math.max(1e-9, ...content.errors.map(({ error }) => error ?? 0));
    content.errors.forEach(({ name, error, text, floor }, i) => {
      const line = (lines[i] ??= scored(floor ? `floor: ${name}` : name, floor));
      line.number.textContent = text;
      line.bar.style.transform = `scaleX(${(error ?? most) / most})`;
      if (!line.row.isConnected) body.append(line.row);
    });
    said.textContent = content.said;
    speak(content.said);
  }

  function empty() {
    for (const one of [...pictures, ...nearest]) one.clear();
    code.clear();
    code.svg.setAttribute("aria-label", "Bars: none yet");
    beyond.textContent = "";
    body.replaceChildren();
    alarm.hidden = true;
    results.classList.remove("ae-stale");
    said.textContent = none;
    speak(none);
  }

  function fail(text) {
    alarm.hidden = false;
    alarm.textContent = text;
    said.textContent = "No result for this drawing; what stands below is from before.";
    results.classList.add("ae-stale");
  }

  let quiet = 0;
  function speak(text) {
    clearTimeout(quiet);
    quiet = setTimeout(() => (spoken.textContent = text), 700); // once the hand rests
  }

  // --- The rest

  const written = () => (wide.textContent = ` ${Number(width.value).toFixed(2)} pixels`);
  width.addEventListener("input", written);
  centre.addEventListener("change", changed);
  written();
  empty();
  const sized = new ResizeObserver(() => {
    across = board.clientWidth;
    look();
  });
  sized.observe(board);
  return () => {
    sized.disconnect();
    clearTimeout(late);
    clearTimeout(quiet);
    cancelAnimationFrame(frame);
    model.off("msg:custom", answer);
  };
}

export default { render };
