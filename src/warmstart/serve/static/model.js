import { ask, busy, complain, count, find, formOf, make, percent, takeFiles, tell } from "./page.js";
import { watchExport } from "./export.js";

const list = find("#answers");
const address = `/api/models/${encodeURIComponent(list.dataset.model)}`;
const AT_ONCE = Number(list.dataset.atOnce);
const STRANGE = 99; // percent of the training pictures that have nearer company

takeFiles(find("#pictures"), async (files, shown) => {
  let done = 0;
  const refused = [];
  for (let start = 0; start < files.length; start += AT_ONCE) {
    shown(start / files.length, `${count(start)} of ${count(files.length)}`);
    const some = files.slice(start, start + AT_ONCE);
    try {
      done += show(some, await ask("POST", `${address}/predict`, formOf(some)));
    } catch (error) {
      refused.push(error);
    }
  }
  tell(`${count(done)} ${done === 1 ? "picture" : "pictures"} predicted.`);
  if (refused.length) throw refused[0];
});

/** The answers come in the order of the pictures, without those that could not be read. */
function show(files, { predictions, problems }) {
  const broken = problems.map((problem) => problem.path);
  const answered = [...predictions];
  for (const { file, path } of files) {
    const at = broken.indexOf(path);
    if (at >= 0) {
      broken.splice(at, 1);
      const problem = problems.find((one) => one.path === path);
      list.prepend(make("li", { class: "answer" }, make("div", { class: "absent" }, "cannot be read"), make("div", {}, make("h3", {}, path), make("p", { class: "note" }, problem.message))));
    } else if (answered.length) list.prepend(card(file, answered.shift()));
  }
  return predictions.length;
}

function card(file, prediction) {
  if (prediction.class === undefined) return plainCard(file, prediction);
  const ranked = Object.entries(prediction.probabilities).sort((a, b) => b[1] - a[1]).slice(0, 3);
  const bars = make("dl", { class: "bars" });
  for (const [name, share] of ranked) {
    bars.append(make("dt", {}, name), make("dd", {}, make("meter", { min: 0, max: 1, value: share, "aria-label": name })), make("dd", {}, percent(share)));
  }
  const image = make("img", { src: URL.createObjectURL(file), alt: file.name });
  image.addEventListener("error", () => image.replaceWith(make("div", { class: "absent" }, "the browser cannot show this format")));
  const strange = prediction.novelty != null && prediction.novelty >= STRANGE;
  const why = make("button", { type: "button", class: "explain", onclick: () => busy(why, () => explain(file, item)) }, "Why?");
  const item = make("li", { class: "answer" }, image, make("div", {},
    make("h3", {}, prediction.class), bars,
    strange ? make("p", { class: "note" }, `Unlike the pictures it learnt from: ${prediction.novelty.toFixed(1)} % of those lie nearer to the others. Do not rely on this answer.`) : null,
    make("p", { class: "small" }, prediction.path),
    make("div", { class: "buttons" }, why, correction(file, prediction))));
  return item;
}

/** Of a model that names no classes: its labels, its numbers, its value in an order, or what it says as it says it. */
function plainCard(file, prediction) {
  const image = make("img", { src: URL.createObjectURL(file), alt: file.name });
  image.addEventListener("error", () => image.replaceWith(make("div", { class: "absent" }, "the browser cannot show this format")));
  const said = make("dl", { class: "facts" });
  const ordered = prediction.rank !== undefined && prediction.probabilities;
  for (const [name, value] of Object.entries(prediction.values ?? {})) {
    const ends = prediction.intervals?.[name];
    const range = ends ? ` (${short(ends[0])} to ${short(ends[1])} in ${Math.round(100 * prediction.coverage)} of 100 pictures)` : "";
    said.append(make("dt", {}, name), make("dd", {}, make("b", {}, short(value)), range));
  }
  if (prediction.labels) {
    said.className = "bars";
    for (const [name, share] of Object.entries(prediction.probabilities).sort((a, b) => b[1] - a[1]).slice(0, Math.max(5, prediction.labels.length))) {
      const shown = prediction.labels.includes(name) ? make("b", {}, name) : name;
      said.append(make("dt", {}, shown), make("dd", {}, make("meter", { min: 0, max: 1, value: share, "aria-label": name })), make("dd", {}, percent(share)));
    }
  } else if (ordered) {
    said.className = "bars";
    for (const [name, share] of Object.entries(prediction.probabilities)) {
      const shown = prediction.set?.includes(name) ? make("b", {}, name) : name;
      said.append(make("dt", {}, shown), make("dd", {}, make("meter", { min: 0, max: 1, value: share, "aria-label": name })), make("dd", {}, percent(share)));
    }
  } else if (!prediction.values) {
    const { path, ...rest } = prediction;
    said.append(make("dd", {}, make("code", {}, JSON.stringify(rest).slice(0, 400))));
  }
  const strange = prediction.novelty != null && prediction.novelty >= STRANGE;
  const heading = prediction.labels ? make("h3", {}, prediction.labels.join(", ") || "none of its labels") : ordered ? make("h3", {}, prediction.value) : null;
  const within = ordered && prediction.set ? make("p", {}, `Likely: ${prediction.set[0]}${prediction.set.length > 1 ? ` to ${prediction.set.at(-1)}` : ""} (so in ${Math.round(100 * prediction.coverage)} of 100 pictures)`) : null;
  return make("li", { class: "answer" }, image, make("div", {}, heading, within, said,
    strange ? make("p", { class: "note" }, `Unlike the pictures it learnt from: ${prediction.novelty.toFixed(1)} % of those lie nearer to the others. Do not rely on this answer.`) : null,
    make("p", { class: "small" }, prediction.path)));
}

const short = (value) => Number(value.toPrecision(4)).toLocaleString("en");

async function explain(file, item) {
  tell("Looking for the evidence.");
  const found = await ask("POST", `${address}/explain?neighbours=4`, formOf([{ file, path: file.name }]));
  find(".why", item)?.remove();
  const near = found.neighbours.map((one) => make("li", {},
    one.thumbnail ? make("img", { src: one.thumbnail, alt: `training picture ${one.path}` }) : make("div", { class: "absent" }, "gone"),
    make("span", {}, make("b", {}, one.class_name ?? ""))));
  item.append(make("div", { class: "why" },
    make("figure", { class: "heat" }, make("img", { src: found.heat_map, alt: `Where the evidence for ${found.class} lies` }),
      make("figcaption", {}, `The brighter, the less it would look like ${found.class} without this part (${found.method}).`)),
    near.length ? make("div", { class: "near" }, make("p", { class: "small" }, "Training pictures most like it"), make("ul", { class: "gallery" }, ...near)) : null,
    ...found.notes.map((note) => make("p", { class: "small" }, note))));
  tell("The evidence is shown below the prediction.");
}

const dataset = () => list.dataset.own || find("#for-dataset")?.value || "";

/** Which class it really is. Nothing to choose from without a data set that it could join. */
function correction(file, prediction) {
  const names = find(`template[data-dataset="${CSS.escape(dataset())}"]`);
  if (!names) return null;
  const select = make("select", { "aria-label": `Right class of ${file.name}` }, make("option", { value: "" }, "It is really …"), names.content.cloneNode(true));
  const button = make("button", { type: "submit" }, "Correct it");
  const form = make("form", { class: "buttons correct" }, select, button);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (!select.value) {
      select.focus();
      return;
    }
    busy(form, async () => {
      const fields = formOf([{ file, path: file.name }]);
      for (const [name, value] of [["class", select.value], ["predicted", prediction.class], ["dataset", dataset()]]) fields.append(name, value);
      await ask("POST", `${address}/corrections`, fields);
      form.replaceWith(make("span", { class: "state done" }, `kept as ${select.value} for the next training`));
      find("#corrected").hidden = false;
      tell(`Kept as ${select.value} for the next training.`);
    });
  });
  return form;
}

watchExport();
