"use strict";
const R = JSON.parse(document.getElementById("result-json").textContent);
const T = JSON.parse(document.getElementById("trace-json").textContent);
const $ = (id) => document.getElementById(id);
const fmt = (x, digits = 0) => x === null || x === undefined ? "-" : Number(x).toLocaleString("en-US",
  { maximumFractionDigits: digits });
const pct = (x) => x === null || x === undefined ? "-" : (100 * x).toFixed(1) + " %";
const sum = (o) => Object.values(o).reduce((a, b) => a + b, 0);
const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const PALETTE = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#b8a90a", "#7b68c8", "#8c6d4f", "#4d9a9a",
  "#a83279", "#5f7f2f", "#c06c84", "#6c8ebf"];
const colourOf = (i) => i < PALETTE.length ? PALETTE[i] : `hsl(${Math.round(i * 137.5) % 360} 55% 48%)`;
const WORK = new Set(["busy", "transfer", "active", "column"]);
const REST = new Set(["queue_empty", "finished", "no_request", "no_flit", "idle"]);
const reasons = [...new Set([...Object.values(R.stalls).flatMap((s) => Object.keys(s)), ...(T ? T.reasons : [])])];
const reasonColour = (name) => WORK.has(name) ? "#1a9850" : REST.has(name) ? css("--line")
  : colourOf(reasons.filter((r) => !WORK.has(r) && !REST.has(r)).indexOf(name));
const kinds = [...new Set(R.operators.map((o) => o.kind))];
const kindColour = (kind) => colourOf(kinds.indexOf(kind));

// ---- tooltip: any element with data-tip, and the canvas
const tip = $("tip");
function showTip(text, x, y) {
  tip.textContent = text; tip.hidden = false;
  const w = tip.offsetWidth, h = tip.offsetHeight;
  tip.style.left = Math.max(4, Math.min(x + 14, innerWidth - w - 8)) + "px";
  tip.style.top = Math.max(4, y + h + 24 > innerHeight ? y - h - 10 : y + 16) + "px";
}
function hideTip() { tip.hidden = true; }
document.addEventListener("mousemove", (e) => {
  const found = e.target.closest ? e.target.closest("[data-tip]") : null;
  if (found) showTip(found.dataset.tip, e.clientX, e.clientY);
  else if (e.target.id !== "timeline") hideTip();
});
document.addEventListener("focusin", (e) => {
  const found = e.target.closest("[data-tip]");
  if (found) { const b = found.getBoundingClientRect(); showTip(found.dataset.tip, b.right, b.bottom); }
});
document.addEventListener("focusout", hideTip);

function el(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [k, v] of Object.entries(attributes)) made.setAttribute(k, v);
  made.append(...children);
  return made;
}
function svg(name, attributes = {}, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [k, v] of Object.entries(attributes)) made.setAttribute(k, v);
  made.append(...children);
  return made;
}
function mix(a, b, t) {
  const parse = (c) => [1, 3, 5].map((i) => parseInt(c.slice(i, i + 2), 16));
  const [p, q] = [parse(a), parse(b)];
  return "rgb(" + p.map((v, i) => Math.round(v + (q[i] - v) * Math.max(0, Math.min(1, t)))).join(",") + ")";
}
const heat = (share) => mix(css("--cold"), css("--hot"), share);

// ---- summary
function summary() {
  const options = R.provenance.options, bound = Object.entries(R.bounds).sort((a, b) => b[1] - a[1])[0];
  const cards = [
    ["cycles", fmt(R.cycles), "core cycles", "cycles"], ["time", fmt(R.seconds_per_token * 1e6, 2) + " µs", "time per token", "seconds"],
    ["rate", fmt(R.tokens_per_second, 1), "tokens per second", "tokens"],
    ["bound", pct(bound[1] / R.cycles), "of the " + bound[0] + " bound", "bound"],
    ["mac", pct(R.mac_utilisation), "MAC utilisation", "mac"], ["dram", pct(R.dram_utilisation), "DRAM utilisation", "dram"],
    ["energy", fmt(R.energy_J.per_token * 1e3, 3) + " mJ", "energy per token", "energy"],
    ["batch", options.batch + " x " + options.context, "batch x context", "batch"],
    ["layers", options.layers, "layers", "layers"],
  ];
  $("cards").replaceChildren(...cards.map(([, value, label, id]) =>
    el("div", { class: "card", id: "card-" + id }, el("b", {}, String(value)), el("span", {}, label))));
}

// ---- floor plan
function unitShare(kind, pu) {
  const own = T ? T.units.filter((u) => u.kind === kind && u.pu === pu) : [];
  if (own.length) return own.reduce((a, u) => a + u.share, 0) / own.length;
  const stall = R.stalls[kind];
  if (!stall) return null;
  return (stall.busy || stall.transfer || 0) / sum(stall);
}
function linkShares() { // links between PUs and how busy they are: of the trace, else of the run
  const told = T ? T.units.filter((u) => u.kind === "link") : [];
  if (told.length) return told.map((u) => ({ from: u.pu, to: +u.name.split(" ").pop(), share: u.share }));
  const found = T && R.network ? R.network.links : [];
  const cycles = sum(R.stalls.link || {}) / Math.max(1, found.length);
  return found.map((l) => ({ from: l.from, to: l.to, share: cycles ? l.flits / cycles : 0 }));
}
function floorplan() {
  const pus = T ? 1 + Math.max(...T.units.map((u) => u.pu)) : 1;
  const across = Math.ceil(Math.sqrt(pus)), down = Math.ceil(pus / across), w = 190, h = 132;
  const wires = linkShares(), gap = wires.length ? 34 : 10, ring = wires.every((l) => [1, pus - 1].includes((l.to - l.from + pus) % pus));
  const corner = (pu) => { // a ring is laid out as a snake, so that neighbours lie side by side
    const row = Math.floor(pu / across), place = ring && row % 2 ? across - 1 - pu % across : pu % across;
    return [place * (w + gap), row * (h + gap)];
  };
  const page = svg("svg", { viewBox: `0 0 ${across * (w + gap)} ${down * (h + gap)}`, width: across * (w + gap), role: "img",
    "aria-label": "Floor plan" });
  const kind = R.stalls.copy_in ? "copy_in" : null;
  for (const l of wires) { // from centre to centre, each direction on its own side; seen between the PUs
    const [[ax, ay], [bx, by]] = [corner(l.from), corner(l.to)], length = Math.hypot(bx - ax, by - ay) || 1;
    const sx = -7 * (by - ay) / length, sy = 7 * (bx - ax) / length;
    page.append(svg("line", { x1: ax + w / 2 + sx, y1: ay + h / 2 + sy, x2: bx + w / 2 + sx, y2: by + h / 2 + sy, stroke: heat(l.share),
      "stroke-width": 10, class: "wire", "data-from": l.from, "data-to": l.to, "data-tip": `link from pu ${l.from} to pu ${l.to}\n${pct(l.share)} busy` }));
  }
  for (let pu = 0; pu < pus; pu++) {
    const [x, y] = corner(pu);
    const block = (name, part, bx, by, bw, bh) => {
      const share = part.endsWith("send") ? ((a) => a.length ? a.reduce((p, q) => p + q, 0) / a.length : null)(
        ["send_cw", "send_ccw", "send_0", "send_1", "send"].map((k) => k === "send" ? (T ? unitShare("send", pu) : null)
          : (T ? null : unitShare(k, pu))).filter((v) => v !== null)) : unitShare(part, pu);
      const told = share === null ? "not recorded" : pct(share) + " at work";
      page.append(svg("rect", { x: x + bx, y: y + by, width: bw, height: bh, rx: 3, fill: share === null ? css("--paper") : heat(share),
        stroke: css("--line"), tabindex: 0, class: "block", "data-kind": part, "data-pu": pu,
        "data-tip": (T ? `pu ${pu} ` : "all PUs: ") + name + "\n" + told }));
      const t = svg("text", { x: x + bx + 5, y: y + by + 14, "pointer-events": "none" });
      t.textContent = name + (share === null ? "" : " " + (100 * share).toFixed(0) + "%");
      page.append(t);
    };
    page.append(svg("rect", { x, y, width: w, height: h, rx: 5, fill: css("--paper"), stroke: css("--soft") }));
    block(T ? `banks (pu ${pu})` : "banks (every PU)", "bank", 4, 4, w - 8, 22);
    block("array", "array", 4, 29, 112, 60);
    block("vector", "vector", 120, 29, w - 124, 28);
    block("mover", "move", 120, 60, w - 124, 29);
    block("buffer", "buffer", 4, 92, 112, 36);
    block(kind ? "copy" : "send", kind ? "copy" : "send", 120, 92, w - 124, 36);
  }
  $("floorplan").replaceChildren(page);
}

// ---- timeline
const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
const lanes = T ? T.units.filter((u) => u.reason).map((u) => ({ ...u, reason: bytes(u.reason), work: bytes(u.work) })) : [];
const order = ["array", "vector", "move", "send", "copy", "sequencer"];
lanes.sort((a, b) => a.pu - b.pu || order.indexOf(a.kind) - order.indexOf(b.kind));
const spans = R.operators.filter((o) => o.start >= 0);
const rowsOf = (() => { // operators overlap: as many rows as overlap at once
  const ends = [];
  return spans.map((o) => {
    let row = ends.findIndex((end) => end <= o.start);
    if (row < 0) { row = ends.length; ends.push(0); }
    ends[row] = o.end;
    return row;
  });
})();
const opRows = Math.min(1 + Math.max(0, ...rowsOf), 24);
const view = { low: 0, high: R.cycles };
const canvas = $("timeline"), LEFT = 130, OP = 15, LANE = 11, AXIS = 22;
function drawTimeline() {
  const width = canvas.clientWidth || 1000, height = AXIS + opRows * OP + 8 + lanes.length * LANE + 6, ratio = devicePixelRatio || 1;
  canvas.width = width * ratio; canvas.height = height * ratio; canvas.style.height = height + "px";
  const g = canvas.getContext("2d");
  g.scale(ratio, ratio); g.clearRect(0, 0, width, height);
  g.font = "10px system-ui, sans-serif"; g.textBaseline = "middle";
  const scale = (width - LEFT - 6) / (view.high - view.low), X = (c) => LEFT + (c - view.low) * scale;
  const step = Math.pow(10, Math.floor(Math.log10((view.high - view.low) / 5)));
  const tick = [1, 2, 5].map((m) => m * step).find((s) => (view.high - view.low) / s <= 9) || 10 * step;
  g.fillStyle = css("--soft");
  for (let c = Math.ceil(view.low / tick) * tick; c <= view.high; c += tick) {
    g.fillRect(X(c), AXIS - 5, 1, height - AXIS + 5 > 0 ? 5 : 0);
    g.fillText(fmt(c, 2), X(c) + 3, AXIS / 2);
  }
  g.fillText("core cycle", 6, AXIS / 2); g.fillText("operators", 6, AXIS + OP / 2);
  spans.forEach((o, i) => {
    if (o.end < view.low || o.start > view.high || rowsOf[i] >= opRows) return;
    const x = Math.max(LEFT, X(o.start)), w = Math.max(1, Math.min(width - 6, X(o.end)) - x), y = AXIS + rowsOf[i] * OP;
    g.fillStyle = kindColour(o.kind); g.fillRect(x, y, w, OP - 2);
    if (w > 40) { g.fillStyle = "#fff"; g.save(); g.beginPath(); g.rect(x, y, w, OP); g.clip(); g.fillText(o.name, x + 4, y + OP / 2 - 1);
      g.restore(); }
  });
  const top = AXIS + opRows * OP + 8;
  lanes.forEach((u, i) => {
    const y = top + i * LANE;
    g.fillStyle = css("--soft"); g.fillText(`pu ${u.pu} ${u.name}`, 6, y + LANE / 2);
    const [low, high] = T.window, bin = (high - low) / T.bins;
    let run = -1, from = 0;
    const flush = (to) => {
      if (run < 0) return;
      const x = Math.max(LEFT, X(low + from * bin)), end = Math.min(width - 6, X(low + to * bin));
      if (end > x) { g.fillStyle = colours[run]; g.fillRect(x, y, Math.max(end - x, .5), LANE - 1.5); }
    };
    for (let b = 0; b < T.bins; b++) {
      const code = u.reason[b];
      if (code !== run) { flush(b); run = code === 255 || REST.has(T.reasons[code]) ? -1 : code; from = b;
        if (run < 0 && code !== 255) run = -1; }
    }
    flush(T.bins);
  });
  $("timerange").textContent = `${fmt(view.low, 1)} to ${fmt(view.high, 1)} of ${fmt(R.cycles)} core cycles` +
    (T ? ` - units in bins of ${fmt((T.window[1] - T.window[0]) / T.bins, 1)} cycles, coloured by their main reason`
      : " - simulate with --trace coarse for the units of every core");
  canvas.dataset.low = view.low; canvas.dataset.high = view.high;
}
let colours = [];
function zoom(factor, at) {
  const span = Math.max(4, Math.min(R.cycles, (view.high - view.low) * factor)), share = (at - view.low) / (view.high - view.low);
  view.low = Math.max(0, Math.min(R.cycles - span, at - share * span)); view.high = view.low + span;
  drawTimeline();
}
function move(by) {
  const span = view.high - view.low;
  view.low = Math.max(0, Math.min(R.cycles - span, view.low + by)); view.high = view.low + span;
  drawTimeline();
}
const cycleAt = (e) => { const b = canvas.getBoundingClientRect();
  return view.low + (e.clientX - b.left - LEFT) / (b.width - LEFT - 6) * (view.high - view.low); };
canvas.addEventListener("wheel", (e) => { e.preventDefault(); zoom(e.deltaY < 0 ? 0.8 : 1.25, cycleAt(e)); }, { passive: false });
let drag = null;
canvas.addEventListener("mousedown", (e) => { drag = cycleAt(e); canvas.focus({ preventScroll: true }); });
addEventListener("mouseup", () => { drag = null; });
canvas.addEventListener("mousemove", (e) => {
  const at = cycleAt(e);
  if (drag !== null && e.buttons) { move(drag - at); return; }
  const y = e.clientY - canvas.getBoundingClientRect().top, row = Math.floor((y - AXIS) / OP), top = AXIS + opRows * OP + 8;
  if (y < top) {
    const i = spans.findIndex((o, n) => rowsOf[n] === row && o.start <= at && at < o.end);
    if (i < 0) { hideTip(); return; }
    const o = spans[i];
    showTip(`${o.name} (${o.kind})\ncycles ${fmt(o.start)} to ${fmt(o.end)}, moves the end by ${fmt(o.cycles)}\nbound by ${o.bound_by}; ` +
      `${o.plan}\n${fmt(o.macs)} MACs, ${fmt(o.read_bytes)} B read`, e.clientX, e.clientY);
  } else {
    const u = lanes[Math.floor((y - top) / LANE)];
    if (!u) { hideTip(); return; }
    const b = Math.floor((at - T.window[0]) / (T.window[1] - T.window[0]) * T.bins), code = u.reason[b];
    if (b < 0 || b >= T.bins) { hideTip(); return; }
    showTip(`pu ${u.pu} ${u.name} at ${fmt(at, 1)}\n${code === 255 ? "nothing recorded" : T.reasons[code]}, ` +
      `${(u.work[b] / 2.55).toFixed(0)} % at work in this bin`, e.clientX, e.clientY);
  }
});
canvas.addEventListener("mouseleave", hideTip);
canvas.addEventListener("keydown", (e) => {
  const middle = (view.low + view.high) / 2, part = (view.high - view.low) / 5;
  const acts = { "+": () => zoom(0.8, middle), "=": () => zoom(0.8, middle), "-": () => zoom(1.25, middle),
    ArrowLeft: () => move(-part), ArrowRight: () => move(part),
    "0": () => { view.low = 0; view.high = R.cycles; drawTimeline(); } };
  if (acts[e.key]) { e.preventDefault(); acts[e.key](); }
});
function legend() {
  const item = (colour, name) => el("span", {}, el("i", { style: "background:" + colour }), name);
  const used = T ? T.reasons.filter((r, i) => lanes.some((u) => u.reason.includes(i)) && !REST.has(r)) : [];
  $("legend").replaceChildren(el("b", {}, "operators"), ...kinds.map((k) => item(kindColour(k), k)));
  if (used.length) $("legend").append(el("b", {}, "units"), ...used.map((r) => item(reasonColour(r), r)));
}

// ---- stalls
function stallbars() {
  const box = $("stallbars");
  box.replaceChildren(...Object.entries(R.stalls).map(([unit, table]) => {
    const whole = sum(table), bar = el("div", { class: "bar" });
    for (const [reason, cycles] of Object.entries(table).sort((a, b) => b[1] - a[1])) {
      bar.append(el("div", { style: `width:${100 * cycles / whole}%;background:${reasonColour(reason)}`, "data-unit": unit,
        "data-reason": reason, "data-cycles": cycles, "data-tip": `${unit}: ${reason}\n${fmt(cycles)} cycles, ${pct(cycles / whole)}` }));
    }
    return el("div", { class: "barrow" }, el("span", {}, unit), bar);
  }));
  const shown = [...new Set(Object.values(R.stalls).flatMap((s) => Object.keys(s)))];
  box.append(el("div", { class: "legend" }, ...shown.map((r) => el("span", {}, el("i", { style: "background:" + reasonColour(r) }), r))));
}
function waterfall() {
  // Cycles of the compute units, as an average over them: what they did while the step ran; the parts add up to its cycles.
  const table = R.stalls.array, whole = sum(table), parts = Object.entries(table).sort((a, b) => (b[0] === "busy") - (a[0] === "busy") || b[1] - a[1]);
  const bound = Math.max(...Object.values(R.bounds)), W = 900, ROW = 24, H = (parts.length + 2) * ROW + 6;
  const page = svg("svg", { viewBox: `0 0 ${W} ${H}`, width: W, role: "img", "aria-label": "Waterfall of the compute units' cycles" });
  const scale = (W - 300) / R.cycles;
  let at = 0;
  const bar = (row, name, from, cycles, colour, told) => {
    const y = row * ROW + 4, label = svg("text", { x: 0, y: y + 13 }), number = svg("text", { x: 168 + (from + cycles) * scale, y: y + 13 });
    label.textContent = name; number.textContent = fmt(cycles) + "  " + pct(cycles / R.cycles);
    page.append(label, svg("rect", { x: 160 + from * scale, y, width: Math.max(1, cycles * scale), height: ROW - 6, fill: colour, tabindex: 0,
      "data-tip": told }), number);
  };
  bar(0, "largest bound", 0, bound, css("--accent"), "No machine with these peaks takes fewer core cycles: " + fmt(bound, 1));
  parts.forEach(([reason, cycles], i) => {
    const mean = cycles / whole * R.cycles;
    bar(i + 1, reason, at, mean, reasonColour(reason) === css("--line") ? css("--soft") : reasonColour(reason),
      `compute units: ${reason}\n${fmt(mean)} of ${fmt(R.cycles)} cycles on average`);
    at += mean;
  });
  bar(parts.length + 1, "cycles of the run", 0, R.cycles, css("--ink"), fmt(R.cycles) + " core cycles");
  $("waterfall").replaceChildren(page);
}

// ---- roofline
function roofline() {
  const points = R.operators.filter((o) => o.macs > 0 && o.read_bytes + o.write_bytes > 0 && o.end > o.start).map((o) => ({ o,
    x: o.macs / (o.read_bytes + o.write_bytes), y: o.macs / (o.end - o.start) }));
  const W = 900, H = 420, L = 70, B = 40, peak = R.peaks.macs_per_cycle, per = (b) => b / (R.clock_GHz * 1e9);
  const fast = per(R.peaks.dram_bytes_per_second), slow = per(R.peaks.dram_bytes_per_second_slowest);
  const xs = [...points.map((p) => p.x), peak / fast, peak / slow], ys = [...points.map((p) => p.y), peak];
  const lx = Math.log10(Math.min(...xs) / 2), hx = Math.log10(Math.max(...xs) * 2), ly = Math.log10(Math.min(...ys) / 2),
    hy = Math.log10(Math.max(...ys) * 2);
  const X = (v) => L + (Math.log10(v) - lx) / (hx - lx) * (W - L - 10), Y = (v) => H - B - (Math.log10(v) - ly) / (hy - ly) * (H - B - 10);
  const page = svg("svg", { viewBox: `0 0 ${W} ${H}`, width: W, role: "img", "aria-label": "Roofline" });
  const text = (x, y, words, more = {}) => { const t = svg("text", { x, y, ...more }); t.textContent = words; page.append(t); };
  for (let e = Math.ceil(lx); e <= hx; e++) { page.append(svg("line", { x1: X(10 ** e), x2: X(10 ** e), y1: 10, y2: H - B, stroke: css("--line") }));
    text(X(10 ** e), H - B + 14, "1e" + e, { class: "soft", "text-anchor": "middle" }); }
  for (let e = Math.ceil(ly); e <= hy; e++) { page.append(svg("line", { x1: L, x2: W - 10, y1: Y(10 ** e), y2: Y(10 ** e), stroke: css("--line") }));
    text(L - 6, Y(10 ** e) + 4, "1e" + e, { class: "soft", "text-anchor": "end" }); }
  text((W + L) / 2, H - 6, "MACs per DRAM byte", { "text-anchor": "middle" });
  text(14, H / 2, "MACs per core cycle, over the span", { transform: `rotate(-90 14 ${H / 2})`, "text-anchor": "middle" });
  for (const [rate, name, dash] of [[fast, "fastest tier", ""], [slow, "slowest tier", "5 4"]]) {
    const turn = peak / rate, x0 = 10 ** lx, y0 = rate * x0, y1 = 10 ** ly;
    const a = y0 < y1 ? [X(y1 / rate), Y(y1)] : [X(x0), Y(y0)];
    page.append(svg("polyline", { points: `${a} ${X(turn)},${Y(peak)} ${W - 10},${Y(peak)}`, fill: "none", stroke: css("--accent"),
      "stroke-width": 2, "stroke-dasharray": dash, tabindex: 0, "data-tip": `${name}: ${fmt(rate, 1)} B per cycle\nturns at ${fmt(turn, 2)} MACs per byte` }));
  }
  for (const p of points.sort((a, b) => b.o.cycles - a.o.cycles)) {
    page.append(svg("circle", { cx: X(p.x), cy: Y(p.y), r: 3 + 12 * Math.sqrt(Math.max(0, p.o.cycles) / R.cycles), fill: kindColour(p.o.kind), "fill-opacity": .75,
      stroke: css("--paper"), tabindex: 0, class: "operator", "data-name": p.o.name,
      "data-tip": `${p.o.name} (${p.o.kind})\n${fmt(p.x, 2)} MACs per byte, ${fmt(p.y, 1)} MACs per cycle\n${fmt(p.o.cycles)} cycles, bound by ${p.o.bound_by}` }));
  }
  $("roofline").replaceChildren(page, el("div", { class: "legend" }, ...kinds.map((k) =>
    el("span", {}, el("i", { style: "background:" + kindColour(k) }), k))));
}

// ---- bounds, DRAM, links, operators, inputs
function bounds() {
  const table = el("table", { id: "bounds-table" }, el("tr", {}, ...["resource", "bound, cycles", "achieved, cycles", "bound / achieved"].map((h) => el("th", {}, h))));
  for (const [name, cycles] of Object.entries(R.bounds))
    table.append(el("tr", { "data-bound": name }, el("td", {}, name), el("td", {}, fmt(cycles, 1)), el("td", {}, fmt(R.cycles)), el("td", {}, pct(cycles / R.cycles))));
  $("boundtable").replaceChildren(table);
}
function heatTable(title, rows, head, tell, most, left = "PU", topleft = "bank") {
  const table = el("table", { class: "heat" });
  table.append(el("tr", {}, el("th", {}, left + " \\ " + topleft), ...head.map((h) => el("th", {}, String(h)))));
  rows.forEach((row, i) => table.append(el("tr", {}, el("th", {}, String(i)), ...row.map((v, j) => {
    const share = v === null || most === 0 ? 0 : v / most;
    return el("td", { style: `background:${heat(share)}`, "data-tip": tell(i, j, v) }, v === null ? "" : tell(i, j, v).split("\n")[1].split(" ")[0]);
  }))));
  return el("div", {}, el("h3", { class: "hint" }, title), table);
}
function dram() {
  const c = R.counts, box = $("drammap"), accesses = c.ACT + (c.row_hits || 0);
  box.replaceChildren(el("p", { id: "row-hits" }, `${fmt(accesses)} row accesses, ${fmt(c.row_hits || 0)} row hits (${pct(accesses ? (c.row_hits || 0) / accesses : 0)}); ` +
    `${fmt(c.RD)} RD, ${fmt(c.WR)} WR, ${fmt(c.REFpb)} REFpb`));
  if (!T || !T.banks.columns) { box.append(el("p", { class: "hint" }, "Simulate with --trace full for every bank.")); return; }
  const b = T.banks, head = b.columns[0].map((_, i) => i), most = (t) => Math.max(...t.flat());
  const hit = b.columns.map((row, i) => row.map((_, j) => { const n = b.ACT[i][j] + b.reopened[i][j]; return n ? b.reopened[i][j] / n : 0; }));
  box.append(el("div", { class: "columns" },
    heatTable("Share of DRAM cycles in which the bank moved a column, %", b.transfer, head, (i, j, v) => `pu ${i} bank ${j}\n${(100 * v).toFixed(0)} % transfer`, 1),
    heatTable("Columns over the port, thousands", b.columns, head, (i, j, v) => `pu ${i} bank ${j}\n${(v / 1e3).toFixed(v < 1e4 ? 1 : 0)} thousand columns`, most(b.columns)),
    heatTable("Row accesses without an ACT, %", hit, head, (i, j, v) => `pu ${i} bank ${j}\n${(100 * v).toFixed(0)} % of row accesses\n${fmt(b.ACT[i][j])} ACT`, 1)));
}
function links() {
  const box = $("linkmap"), network = R.network;
  box.replaceChildren();
  if (R.stalls.link) {
    const whole = sum(R.stalls.link);
    box.append(el("p", {}, Object.entries(R.stalls.link).map(([k, v]) => `${k} ${fmt(v)} (${pct(v / whole)})`).join(", ") + " link cycles"));
  }
  if (network && network.links && network.links.length) {
    const size = 1 + Math.max(...network.links.flatMap((l) => [l.from, l.to])), table = Array.from({ length: size }, () => Array(size).fill(null));
    for (const l of network.links) table[l.from][l.to] = (table[l.from][l.to] || 0) + l.flits;
    const most = Math.max(1, ...network.links.map((l) => l.flits));
    box.append(heatTable("Flits of every link, from (row) to (column)", table, table.map((_, i) => i),
      (i, j, v) => v === null ? `${i} to ${j}\n` : `${i} to ${j}\n${v} flits`, most, "from", "to"));
  } else {
    box.append(el("p", { id: "flit-hops" }, `${fmt(R.counts.flits)} flits, ${fmt(R.counts.flit_hops)} flit-hops, ${fmt(R.counts.messages)} messages`));
  }
}
const COLUMNS = ["name", "kind", "layer", "cycles", "start", "end", "bound_by", "mac_utilisation", "dram_utilisation", "macs", "read_bytes", "write_bytes", "flits",
  "vector_elements", "plan"];
let sorted = { by: "start", up: true };
function operators() {
  const rows = [...R.operators].sort((a, b) => {
    const [p, q] = [a[sorted.by], b[sorted.by]];
    return (p === q ? 0 : p === null ? -1 : q === null ? 1 : p < q ? -1 : 1) * (sorted.up ? 1 : -1);
  });
  const table = $("optable"), head = el("tr");
  for (const c of COLUMNS) {
    const cell = el("th", { tabindex: 0, "data-column": c }, c.replaceAll("_", " ") + (sorted.by === c ? (sorted.up ? " ▲" : " ▼") : ""));
    const act = () => { sorted = { by: c, up: sorted.by === c ? !sorted.up : true }; operators(); };
    cell.addEventListener("click", act);
    cell.addEventListener("keydown", (e) => { if (e.key === "Enter") act(); });
    head.append(cell);
  }
  table.replaceChildren(head, ...rows.map((o) => el("tr", { "data-name": o.name, "data-cycles": o.cycles }, ...COLUMNS.map((c) => {
    const v = o[c];
    return typeof v === "string" ? el("td", { class: "word" }, v) : el("td", {}, c.endsWith("utilisation") ? pct(v) : fmt(v));
  }))));
}
function inputs() {
  const flat = [];
  const walk = (tree, path) => { for (const [k, v] of Object.entries(tree))
    if (v !== null && typeof v === "object") walk(v, path + k + "."); else flat.push([path + k, v]); };
  walk(R.provenance, "");
  const table = el("table");
  for (const [k, v] of flat) table.append(el("tr", {}, el("td", {}, k), el("td", { class: "word" }, String(v))));
  $("provenance").replaceChildren(el("div", { class: "scroll" }, table), el("p", { class: "hint" }, "Rounded to cycles: " + (R.rounding.join("; ") || "nothing")));
}

function draw() {
  colours = T ? T.reasons.map(reasonColour) : [];
  summary(); floorplan(); drawTimeline(); legend(); waterfall(); stallbars(); roofline(); bounds(); dram(); links(); operators(); inputs();
}
$("toc").replaceChildren(...[...document.querySelectorAll("section")].map((s) => el("a", { href: "#" + s.id }, s.querySelector("h2").textContent)));
const dark = matchMedia("(prefers-color-scheme: dark)");
document.documentElement.dataset.theme = dark.matches ? "dark" : "light";
dark.addEventListener("change", (e) => { document.documentElement.dataset.theme = e.matches ? "dark" : "light"; draw(); });
$("theme").addEventListener("click", () => {
  document.documentElement.dataset.theme = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
  draw();
});
addEventListener("resize", drawTimeline);
draw();
document.documentElement.dataset.ready = "1";
