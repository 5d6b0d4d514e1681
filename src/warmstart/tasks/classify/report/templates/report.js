"use strict";
// Pictures stand once in the table; whoever wants one asks for it by its number. No request is made for any.
const table = JSON.parse(document.getElementById("table").textContent);

function element(name, text, className) {
  const made = document.createElement(name);
  if (text) made.textContent = text;
  if (className) made.className = className;
  return made;
}

function image(number) {
  const [name, truth, said] = table.pictures[number];
  if (!table.images[number]) return element("span", "no thumbnail", "absent");
  const shown = element("img");
  shown.alt = said && said !== truth ? `${truth}, taken for ${said}: ${name}` : `${truth || "picture"}: ${name}`;
  shown.src = "data:image/jpeg;base64," + table.images[number];
  return shown;
}

function words(number) {
  const [name, truth, said, probability, novelty] = table.pictures[number];
  const caption = element("figcaption");
  caption.append(element("b", truth || ""));
  if (said) caption.append(said === truth ? `, named so with ${percent(probability)}` : `, named ${said} with ${percent(probability)}`);
  if (novelty !== null && novelty >= 99) caption.append(", unlike training");
  caption.append(element("br"), name);
  return caption;
}

const percent = (share) => `${Math.round(100 * share)} %`;

function figure(number) {
  const made = element("figure");
  made.append(image(number), words(number));
  return made;
}

for (const waiting of document.querySelectorAll("figure[data-picture]")) {
  waiting.prepend(image(waiting.dataset.picture));
  const caption = waiting.querySelector("figcaption");
  if (!caption) waiting.append(words(waiting.dataset.picture));
  else if ("name" in waiting.dataset) caption.append(element("br"), element("span", table.pictures[waiting.dataset.picture][0], "file"));
}

// The pictures behind a cell of the confusion matrix.
const panel = document.getElementById("cell");
let opener = null;

function open(button) {
  close();
  opener = button;
  const numbers = table.cells[button.dataset.cell];
  const [, truth, said] = table.pictures[numbers[0]];
  const all = Number(button.dataset.count);
  panel.querySelector("h3").textContent = truth === said ? `${truth}, named rightly` : `${truth}, taken for ${said}`;
  panel.querySelector("p").textContent = numbers.length < all ? `${numbers.length} of ${all} pictures, the surest first` : `${all} pictures, the surest first`;
  panel.querySelector(".gallery").replaceChildren(...numbers.map(figure));
  panel.hidden = false;
  button.setAttribute("aria-expanded", "true");
  panel.focus({ preventScroll: true });
  panel.scrollIntoView({ block: "nearest" });
}

function close() {
  if (!opener) return;
  opener.setAttribute("aria-expanded", "false");
  opener = null;
  panel.hidden = true;
}

for (const button of document.querySelectorAll("[data-cell]")) {
  button.setAttribute("aria-expanded", "false");
  button.setAttribute("aria-controls", "cell");
  button.addEventListener("click", () => (opener === button ? close() : open(button)));
}
panel.querySelector(".close").addEventListener("click", leave);
panel.addEventListener("keydown", (event) => { if (event.key === "Escape") leave(); });

function leave() {
  const back = opener;
  close();
  if (back) back.focus();
}

// The map: point, tap or walk with the arrow keys.
const frame = document.getElementById("map-frame");
if (frame) {
  const marks = [...frame.querySelectorAll(".mark")];
  const told = document.getElementById("map-told");
  let chosen = -1;

  function choose(place) {
    if (chosen >= 0) marks[chosen].classList.remove("chosen");
    chosen = place;
    marks[place].classList.add("chosen");
    told.replaceChildren(image(table.map[place]), words(table.map[place]));
  }

  for (const kind of ["pointerover", "click"]) {
    frame.addEventListener(kind, (event) => {
      const place = marks.indexOf(event.target);
      if (place >= 0) choose(place);
    });
  }
  frame.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const open = marks.map((_, place) => place).filter((place) => !marks[place].classList.contains("away"));
    const at = open.indexOf(chosen);
    choose(open[(at < 0 ? (step > 0 ? 0 : -1) + open.length : at + step + open.length) % open.length]);
  });

  // One class at a time, or all.
  const buttons = [...document.querySelectorAll("#map-legend button")];
  for (const button of buttons) {
    button.addEventListener("click", () => {
      const alone = button.getAttribute("aria-pressed") !== "true";
      for (const other of buttons) other.setAttribute("aria-pressed", String(alone && other === button));
      for (const mark of marks) mark.classList.toggle("away", alone && !mark.classList.contains("c" + button.dataset.class));
    });
  }
}
