// Reads model.onnx alone: its document (class names, size) is in the file, and so is everything after decoding.
"use strict";

const byId = (id) => document.getElementById(id);

// The document is one entry of ONNX's metadata_props: field 14 of the model, itself (1: key, 2: value). onnxruntime-web has no call for it.
function documentOf(bytes) {
  const text = new TextDecoder();
  let at = 0;
  const varint = () => {
    let value = 0, factor = 1, byte;
    do { byte = bytes[at++]; value += (byte & 127) * factor; factor *= 128; } while (byte & 128);
    return value;
  };
  const fields = (end, visit) => {
    while (at < end) {
      const tag = varint(), field = Math.floor(tag / 8), kind = tag % 8;
      if (kind === 0) varint();
      else if (kind === 1) at += 8;
      else if (kind === 5) at += 4;
      else { const length = varint(), stop = at + length; visit(field, stop); at = stop; }
    }
  };
  let found = null;
  fields(bytes.length, (field, stop) => {
    if (field !== 14) return;
    const entry = {};
    fields(stop, (part, end) => { entry[part] = text.decode(bytes.subarray(at, end)); });
    if (entry[1] === "warmstart") found = JSON.parse(entry[2]);
  });
  if (!found) throw new Error("model.onnx was not written by warmstart export");
  return found;
}

// uint8 pixels of a picture in the shape that the model takes: (1, H, W, 3), or (1, 3, S, S) of the centre.
function pixelsOf(bitmap, about) {
  const side = about.preprocessing.size_px, inside = about.resize_inside;
  const canvas = document.createElement("canvas");
  const [width, height] = inside ? [bitmap.width, bitmap.height] : [side, side];
  Object.assign(canvas, { width, height });
  const pen = canvas.getContext("2d");
  pen.imageSmoothingQuality = "high";
  pen.fillStyle = "white";
  pen.fillRect(0, 0, width, height);
  if (inside || about.preprocessing.resize === "squash") {
    pen.drawImage(bitmap, 0, 0, width, height);
  } else if (about.preprocessing.resize === "pad") {
    pen.fillStyle = "rgb(128,128,128)";
    pen.fillRect(0, 0, side, side);
    const scale = side / Math.max(bitmap.width, bitmap.height);
    const w = Math.max(1, Math.round(bitmap.width * scale)), h = Math.max(1, Math.round(bitmap.height * scale));
    pen.drawImage(bitmap, Math.floor((side - w) / 2), Math.floor((side - h) / 2), w, h);
  } else {
    const cut = 0.875 * Math.min(bitmap.width, bitmap.height);
    pen.drawImage(bitmap, (bitmap.width - cut) / 2, (bitmap.height - cut) / 2, cut, cut, 0, 0, side, side);
  }
  const rgba = pen.getImageData(0, 0, width, height).data, count = width * height;
  const pixels = new Uint8Array(3 * count);
  for (let i = 0; i < count; i++) {
    for (let c = 0; c < 3; c++) pixels[inside ? 3 * i + c : c * count + i] = rgba[4 * i + c];
  }
  return new ort.Tensor("uint8", pixels, inside ? [1, height, width, 3] : [1, 3, side, side]);
}

async function predict(session, about, blob) {
  const begin = performance.now();
  const bitmap = await createImageBitmap(blob, { imageOrientation: "from-image" });
  const { probabilities } = await session.run({ pictures: pixelsOf(bitmap, about) }, ["probabilities"]);
  const ranked = Array.from(probabilities.data).map((p, k) => [about.class_names[k], p]).sort((a, b) => b[1] - a[1]);
  byId("picture").src = URL.createObjectURL(blob);
  byId("picture").alt = `The picture: ${ranked[0][0]}`;
  byId("picture").hidden = false;
  byId("classes").replaceChildren(...ranked.slice(0, 5).map(([name, p]) => {
    const row = document.createElement("tr"), meter = document.createElement("meter");
    meter.value = p;
    for (const content of [name, meter, `${(100 * p).toFixed(1)} %`]) {
      row.insertCell().append(content);
    }
    return row;
  }));
  byId("status").textContent = `${ranked[0][0]} (${(100 * ranked[0][1]).toFixed(1)} %), in ${Math.round(performance.now() - begin)} ms`;
}

async function start() {
  ort.env.wasm.wasmPaths = new URL("node_modules/onnxruntime-web/dist/", document.baseURI).href;
  const bytes = new Uint8Array(await (await fetch("model.onnx")).arrayBuffer());
  const about = documentOf(bytes);
  const session = await ort.InferenceSession.create(bytes, { executionProviders: ["wasm"] });
  byId("status").textContent = `${about.class_names.length} classes: ${about.class_names.join(", ")}`;
  byId("file").disabled = false;
  byId("file").addEventListener("change", (event) => {
    const [file] = event.target.files;
    if (file) predict(session, about, file).catch(show);
  });
}

const show = (problem) => { byId("status").textContent = `${problem.message ?? problem}`; };
start().catch(show);
