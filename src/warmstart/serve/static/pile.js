import { all, ask, budgetOf, busy, complain, count, find, percent, tell } from "./page.js";

const box = find("#pile");
const address = `/api/piles/${box.dataset.id}`;
const PAGE = 200;
let queue = [];     // pictures that nobody has decided about, the most uncertain first
const decided = []; // what was done, for undo: {row, skipped}
let pile = null;

async function start() {
  for (;;) {
    pile = await ask("GET", `${address}?count=1`);
    if (pile.state !== "predicting") break;
    find("#predicted").textContent = count(pile.predicted);
    await new Promise((done) => setTimeout(done, 700));
  }
  find("#looking").hidden = true;
  await fetchMore();
  show();
  find("#desk").focus();
}

/** Those that were skipped stay unlabelled, so they are passed over. */
async function fetchMore() {
  const skipped = decided.filter((one) => one.skipped).length;
  const page = (await ask("GET", `${address}?labelled=false&start=${skipped}&count=${PAGE}`)).page;
  const known = new Set([...queue, ...decided.map((one) => one.row)].map((row) => row.n));
  queue.push(...page.filter((row) => !row.problem && !known.has(row.n)));
}

function show() {
  const row = queue[0];
  find("#desk").hidden = !row;
  find("#over").hidden = Boolean(row) && pile.labelled === 0;
  find("#bar").max = Math.max(1, pile.pictures);
  find("#bar").value = pile.labelled;
  find("#amount").textContent = `${count(pile.labelled)} of ${count(pile.pictures)} labelled`;
  find("#undo").disabled = !decided.length;
  find("#over-text").textContent = overText(row);
  for (const button of all("#use button")) button.disabled = pile.labelled === 0;
  if (!row) return;
  const image = find("#picture");
  image.src = `${address}/pictures/${row.n}?size=800`;
  image.alt = `Picture to label: ${row.name}`;
  find("#name").textContent = row.name;
  const guess = row.prediction;
  find("#confirm").hidden = !guess;
  find("#suggestion").textContent = guess ? `${guess.class}? ${percent(guess.probability)}` : "The model has no suggestion";
  for (const button of all("#class-buttons button")) {
    const share = guess?.probabilities[button.dataset.class];
    find(".share", button).textContent = share >= 0.005 ? percent(share) : "";
    button.classList.toggle("suggested", guess?.class === button.dataset.class);
  }
  if (queue[1]) new Image().src = `${address}/pictures/${queue[1].n}?size=800`;
}

function overText(row) {
  const skipped = decided.filter((one) => one.skipped).length;
  const words = [`${count(pile.labelled)} ${pile.labelled === 1 ? "picture is" : "pictures are"} labelled`];
  if (skipped) words.push(`${count(skipped)} skipped`);
  if (pile.broken) words.push(`${count(pile.broken)} cannot be read`);
  return `${words.join(", ")}. ${row ? "You can add them now, and go on with the others later." : "That was the last one."}`;
}

// What is decided is shown at once and written in order behind it, so that a second key always means the picture that is seen.
let work = Promise.resolve();
const then = (step) => { work = work.then(step).catch(complain); };

function write(row, document) {
  then(async () => {
    try {
      await ask("PUT", `${address}/pictures/${row.n}`, document);
    } catch (error) { // decided or not, it is as it was before
      pile.labelled += document.label === null ? 1 : -1;
      const at = decided.findIndex((one) => one.row === row);
      if (at >= 0) queue.unshift(decided.splice(at, 1)[0].row);
      show();
      throw error;
    }
  });
}

/** About the picture that is shown. `labelOf` gives its class, or null to skip it. */
function decide(labelOf, isNew = false) {
  const row = queue[0];
  const label = row && labelOf(row);
  if (label === undefined) return;
  queue.shift();
  decided.push({ row, skipped: label === null });
  if (label !== null) {
    pile.labelled += 1;
    write(row, { label, new: isNew });
  }
  if (queue.length) show();
  else then(async () => {
    await fetchMore();
    show();
    if (queue.length) return;
    find("#over-title").tabIndex = -1;
    find("#over-title").focus();
  });
}

function undo() {
  const last = decided.pop();
  if (!last) return;
  queue.unshift(last.row);
  if (!last.skipped) {
    pile.labelled -= 1;
    write(last.row, { label: null });
  }
  show();
  find("#desk").focus();
}

const confirm = () => decide((row) => row.prediction?.class);
const take = (button) => decide(() => button.dataset.class, button.dataset.new === "true");

find("#confirm").addEventListener("click", confirm);
find("#skip").addEventListener("click", () => decide(() => null));
find("#undo").addEventListener("click", undo);
find("#class-buttons").addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (button) take(button);
});

find("#new-class").addEventListener("submit", (event) => {
  event.preventDefault();
  const name = find("#new-name").value.trim().replace(/\s+/g, " ");
  if (!name) return;
  decide(() => name, true);
  if (!all("#class-buttons button").some((button) => button.dataset.class === name)) {
    const button = find("#class-buttons button").cloneNode(true);
    button.dataset.class = name;
    button.dataset.new = "true";
    find("kbd", button)?.remove();
    find(".class-name", button).textContent = name;
    find("#class-buttons").append(button);
  }
  find("#new-name").value = "";
  find("#desk").focus();
});

document.addEventListener("keydown", (event) => {
  if (!find("#keys").checked || event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  const target = event.target;
  if (target.matches("input:not([type=checkbox]), select, textarea")) return;
  if (event.key === "Enter" && target.closest("button, a, summary, label")) return; // which it presses
  const classes = all("#class-buttons button");
  if (event.key === "Backspace") undo();
  else if (find("#desk").hidden) return;
  else if (event.key === "Enter") confirm();
  else if (event.key === "s" || event.key === "S") decide(() => null);
  else if (/^[1-9]$/.test(event.key) && classes[event.key - 1]) take(classes[event.key - 1]);
  else return;
  event.preventDefault();
});

find("#use").addEventListener("submit", (event) => {
  event.preventDefault();
  const train = event.submitter?.value === "train";
  busy(event.target, async () => {
    await work;
    const { joined } = await ask("POST", `${address}/confirm`);
    tell(`${count(joined)} pictures joined the data set.`);
    if (!train) return location.assign(`/datasets/${box.dataset.dataset}`);
    const run = await ask("POST", "/api/runs", { dataset: box.dataset.dataset, ...budgetOf(event.target) });
    location.assign(`/runs/${run.id}`);
  });
});

start().catch(complain);
