"use strict";
/* Maps to boxes as camloc.boxes.paper.boxes_from_maps has it: bilinear upsampling in single precision,
   what is strictly above a share of the maximum, the largest 8-connected component. */

const data = JSON.parse(document.getElementById("contents").textContent);
const byId = (id) => document.getElementById(id);
const f = Math.fround;

function float16(text) {
  const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const view = new DataView(bytes.buffer);
  const values = new Float32Array(bytes.length / 2);
  for (let i = 0; i < values.length; i++) {
    const bits = view.getUint16(2 * i, true);
    const exponent = (bits >> 10) & 31, fraction = bits & 1023;
    const size = exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : 2 ** -14 * (fraction / 1024);
    values[i] = bits >> 15 ? -size : size;
  }
  return values;
}

function weights(from, to) {
  const first = new Int32Array(to), second = new Int32Array(to), share = new Float32Array(to);
  for (let i = 0; i < to; i++) {
    const place = f((i + 0.5) * (1 / (to / from)) - 0.5);
    let whole = Math.floor(place), rest = f(place - whole);
    if (whole < 0) { whole = 0; rest = 0; }
    if (whole >= from - 1) { whole = from - 1; rest = 0; }
    first[i] = whole; second[i] = Math.min(whole + 1, from - 1); share[i] = rest;
  }
  return { first, second, share };
}

function upsample(low, h, w, height, width) {
  const x = weights(w, width), y = weights(h, height);
  const wide = new Float32Array(h * width), full = new Float32Array(height * width);
  for (let r = 0; r < h; r++)
    for (let c = 0; c < width; c++) {
      const a = f(low[r * w + x.first[c]] * f(1 - x.share[c]));
      wide[r * width + c] = f(a + f(low[r * w + x.second[c]] * x.share[c]));
    }
  for (let r = 0; r < height; r++)
    for (let c = 0; c < width; c++) {
      const a = f(wide[y.first[r] * width + c] * f(1 - y.share[r]));
      full[r * width + c] = f(a + f(wide[y.second[r] * width + c] * y.share[r]));
    }
  return full;
}

function largestComponent(full, height, width, limit) {
  const seen = new Uint8Array(full.length);
  let most = 0, box = null;
  const stack = [];
  for (let start = 0; start < full.length; start++) {
    if (seen[start] || !(full[start] > limit)) continue;
    let size = 0, xmin = width, ymin = height, xmax = -1, ymax = -1;
    seen[start] = 1; stack.push(start);
    while (stack.length) {
      const at = stack.pop(), y = Math.floor(at / width), x = at - y * width;
      size++;
      xmin = Math.min(xmin, x); xmax = Math.max(xmax, x);
      ymin = Math.min(ymin, y); ymax = Math.max(ymax, y);
      for (let v = Math.max(0, y - 1); v <= Math.min(height - 1, y + 1); v++)
        for (let u = Math.max(0, x - 1); u <= Math.min(width - 1, x + 1); u++) {
          const next = v * width + u;
          if (!seen[next] && full[next] > limit) { seen[next] = 1; stack.push(next); }
        }
    }
    if (size > most) { most = size; box = [xmin, ymin, xmax, ymax]; }
  }
  return box;
}

function boxOf(full, height, width, threshold) {
  let at = 0;
  for (let i = 1; i < full.length; i++) if (full[i] > full[at]) at = i;
  if (full[at] <= 0) return [0, 0, width - 1, height - 1];
  const y = Math.floor(at / width), x = at - y * width;
  return largestComponent(full, height, width, f(f(threshold) * full[at])) || [x, y, x, y];
}

function iou(a, b) {
  const w = Math.min(a[2], b[2]) - Math.max(a[0], b[0]) + 1;
  const h = Math.min(a[3], b[3]) - Math.max(a[1], b[1]) + 1;
  const both = Math.max(0, w) * Math.max(0, h);
  const area = (c) => (c[2] - c[0] + 1) * (c[3] - c[1] + 1);
  return both / (area(a) + area(b) - both);
}

for (const row of data.rows) {
  row.values = float16(row.maps);
  row.start = [];
  let count = 0;
  for (const stored of row.stored) { row.start.push(count); count += stored.length; }
}

const canvas = byId("canvas"), brush = canvas.getContext("2d");
const picture = new Image();
let full = null, layer = null;

function option(value, text) {
  const made = document.createElement("option");
  made.value = value; made.textContent = text;
  return made;
}

function listClasses() {
  const image = data.images[byId("image").value], row = data.rows[byId("row").value];
  const stored = row.stored[byId("image").value];
  const before = byId("class").selectedOptions[0]?.dataset.number;
  byId("class").replaceChildren(...stored.map(([number, rank, score], i) => {
    const mark = number === image.label ? " (the label)" : "";
    const made = option(i, `${rank}. ${data.classes[number]} ${(100 * score).toFixed(1)} %${mark}`);
    made.dataset.number = number;
    return made;
  }));
  const wanted = stored.findIndex(([number]) => String(number) === before);
  const label = stored.findIndex(([number]) => number === image.label);
  byId("class").value = Math.max(0, wanted >= 0 ? wanted : label);
}

function compute() {
  const i = byId("image").value, image = data.images[i], row = data.rows[byId("row").value];
  const cells = row.height * row.width;
  const place = (row.start[i] + Number(byId("class").value)) * cells;
  const low = row.values.subarray(place, place + cells);
  full = upsample(low, row.height, row.width, image.height, image.width);
  layer = overlay(image);
}

function outline(box, scale, colour, dashes) {
  const [xmin, ymin, xmax, ymax] = box;
  for (const [width, shade] of [[4, "#000000"], [2, colour]]) {
    brush.lineWidth = width; brush.strokeStyle = shade; brush.setLineDash(dashes);
    brush.strokeRect(xmin * scale, ymin * scale, (xmax - xmin + 1) * scale, (ymax - ymin + 1) * scale);
  }
}

function overlay(image) {
  const peak = full.reduce((a, b) => Math.max(a, b), -Infinity);
  const made = new ImageData(image.width, image.height), shades = data.colours;
  for (let i = 0; i < full.length; i++) {
    const value = peak > 0 ? Math.max(0, full[i] / peak) : 0;
    const shade = shades[Math.min(shades.length - 1, Math.floor(value * shades.length))];
    made.data.set([...shade, 255 * (0.25 + 0.5 * value)], 4 * i);
  }
  const drawn = document.createElement("canvas");
  drawn.width = image.width; drawn.height = image.height;
  drawn.getContext("2d").putImageData(made, 0, 0);
  return drawn;
}

function draw() {
  const image = data.images[byId("image").value], row = data.rows[byId("row").value];
  const threshold = byId("threshold").value / 100;
  const number = Number(byId("class").selectedOptions[0].dataset.number);
  const box = boxOf(full, image.height, image.width, threshold);
  const own = image.boxes.filter(([of]) => of === number).map((line) => line.slice(1));
  const best = own.length ? Math.max(...own.map((true_) => iou(box, true_))) : null;
  const scale = Math.min(512 / image.width, 512 / image.height);
  canvas.width = Math.round(image.width * scale); canvas.height = Math.round(image.height * scale);
  brush.drawImage(picture, 0, 0, canvas.width, canvas.height);
  if (byId("show-map").checked) brush.drawImage(layer, 0, 0, canvas.width, canvas.height);
  for (const true_ of own) outline(true_, scale, data.true, [8, 6]);
  outline(box, scale, data.predicted, []);
  byId("percent").textContent = `${byId("threshold").value} %`;
  byId("box").textContent = box.join(", ");
  byId("iou").textContent = best === null ? "none: the image has no box of this class" : best.toFixed(3);
  byId("verdict").textContent =
    best === null ? "" : best >= data.iou ? `found (IoU at least ${data.iou})` : "missed";
  canvas.setAttribute("aria-label",
    `Image ${image.name} under ${row.name}'s map of ${data.classes[number]}; box ${box.join(", ")}`);
}

function choose() { listClasses(); compute(); draw(); }

function show() {
  picture.onload = draw;  // decoded in the background: what is chosen meanwhile holds already
  picture.src = data.images[byId("image").value].picture;
  choose();
}

function step(by) {
  const count = data.images.length, select = byId("image");
  select.value = (Number(select.value) + by + count) % count;
  show();
}

if (data.images.length && data.rows.length) {
  const label = (image) => image.label < 0 ? "" : `: ${data.classes[image.label]}`;
  byId("image").replaceChildren(...data.images.map((image, i) => option(i, image.name + label(image))));
  byId("row").replaceChildren(...data.rows.map((row, i) => option(i, row.name)));
  const percent = 100 * data.threshold;
  if (Math.abs(percent - Math.round(percent)) > 1e-6) byId("threshold").step = 0.1;
  byId("threshold").value = percent;
  byId("image").addEventListener("change", show);
  byId("row").addEventListener("change", choose);
  byId("class").addEventListener("change", () => { compute(); draw(); });
  byId("threshold").addEventListener("input", draw);
  byId("show-map").addEventListener("change", draw);
  byId("before").addEventListener("click", () => step(-1));
  byId("after").addEventListener("click", () => step(1));
  show();
}
