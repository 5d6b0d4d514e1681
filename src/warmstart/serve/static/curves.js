// Curves of a training as SVG: one line a part of it (gradual unfreezing and other plans begin anew), over all evaluations.

const [WIDTH, HEIGHT, LEFT, TOP, BOTTOM] = [420, 220, 44, 10, 26];

export function drawCurves(rows) {
  draw(document.querySelector("#accuracy"), parts(rows, "val_accuracy"), rows.length, (value) => `${Math.round(100 * value)} %`, [0, 1]);
  draw(document.querySelector("#loss"), [...parts(rows, "train_loss", "train"), ...parts(rows, "val_loss")], rows.length, (value) => value.toPrecision(2), [0, Infinity]);
}

function parts(rows, key, kind = "val") {
  const lines = [];
  rows.forEach((row, i) => {
    const before = rows[i - 1];
    if (!before || before.cut !== row.cut || row.epoch <= before.epoch) lines.push({ kind, points: [] });
    if (row[key] != null) lines.at(-1).points.push([i, row[key]]);
  });
  return lines.filter((line) => line.points.length);
}

function draw(svg, lines, n, words, [lowest, highest]) {
  const values = lines.flatMap((line) => line.points.map((point) => point[1]));
  if (!values.length) return;
  const spread = Math.max(...values) - Math.min(...values) || 0.1;
  const low = Math.max(lowest, Math.min(...values) - 0.1 * spread), high = Math.min(highest, Math.max(...values) + 0.1 * spread);
  const x = (i) => LEFT + (n > 1 ? i / (n - 1) : 0.5) * (WIDTH - LEFT - 12);
  const y = (value) => TOP + (1 - (value - low) / (high - low)) * (HEIGHT - TOP - BOTTOM);
  const shapes = [];
  for (const value of [low, (low + high) / 2, high]) {
    shapes.push(shape("line", { class: "grid", x1: LEFT, x2: WIDTH, y1: y(value), y2: y(value) }), shape("text", { x: LEFT - 6, y: y(value) + 4, "text-anchor": "end" }, words(value)));
  }
  shapes.push(shape("text", { x: LEFT, y: HEIGHT - 6 }, "1"), shape("text", { x: WIDTH, y: HEIGHT - 6, "text-anchor": "end" }, `${n} ${n === 1 ? "evaluation" : "evaluations"}`));
  for (const { kind, points } of lines) {
    shapes.push(shape("path", { class: kind, d: points.map(([i, value], at) => `${at ? "L" : "M"}${x(i).toFixed(1)} ${y(value).toFixed(1)}`).join("") }));
    if (kind === "val" || points.length === 1) shapes.push(shape("circle", { cx: x(points.at(-1)[0]), cy: y(points.at(-1)[1]), r: 3.5 }));
  }
  svg.replaceChildren(...shapes);
}

function shape(tag, attributes, text = "") {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.textContent = text;
  return element;
}
