import { ask, busy, complain, find, listen, make, percent, refresh, showProgress, tell } from "./page.js";
import { drawCurves } from "./curves.js";
import { watchExport } from "./export.js";

const box = find("#run");
const epochs = [];

function addEpoch(row) {
  epochs.push(row);
  find("#curves").hidden = false;
  const number = (value) => make("td", { class: "number" }, value == null ? "" : value.toFixed(3));
  find("#epochs").append(make("tr", {}, make("th", { scope: "row" }, row.cut), make("td", { class: "number" }, String(row.epoch)),
    number(row.train_loss), number(row.val_loss), make("td", { class: "number" }, percent(row.val_accuracy))));
  find("#accuracy-now").textContent = percent(row.val_accuracy);
}

function say(sentence) {
  const list = find("#said");
  const below = list.scrollHeight - list.scrollTop - list.clientHeight < 40;
  list.append(make("p", {}, sentence));
  if (below) list.scrollTop = list.scrollHeight;
}

find("#cancel")?.addEventListener("click", (event) => {
  busy(event.target, async () => {
    await ask("POST", `/api/runs/${box.dataset.id}/cancel`);
    event.target.textContent = "End at once";
    tell("It stops in a moment.");
  });
});

// Every event from the first on: the page is the same whenever it is opened.
if (box.dataset.active === "true") find("#said").replaceChildren();
const known = box.dataset.active !== "true";
let drawing = 0;
const redraw = () => { drawing ||= requestAnimationFrame(() => { drawing = 0; drawCurves(epochs); }); };
listen(box.dataset.id, 0, {
  epoch: (row) => { addEpoch(row); redraw(); },
  say: (event) => { if (!known) say(event.text); },
  state: (event) => { if (!known && event.state === "running") find("#phase").textContent = "Working"; },
  progress: (event) => {
    const amount = find("#amount");
    if (!amount) return;
    find("#phase").textContent = event.phase[0].toUpperCase() + event.phase.slice(1);
    showProgress(find("#bar"), amount, { ...event, phase: "" });
    if (event.note) amount.textContent += ` · ${event.note}`;
  },
  end: () => { if (!known) finished().catch(complain); },
});

/** The model appears on the server a moment after the run's last word. */
async function finished() {
  const run = await ask("GET", `/api/runs/${box.dataset.id}`);
  if (["queued", "running", "cancelling"].includes(run.state)) { // the server stopped, and the run goes on with the next
    location.reload();
    return;
  }
  for (let tries = 0; run.model && tries < 40; tries++) {
    try {
      await ask("GET", `/api/models/${encodeURIComponent(run.model)}`);
      break;
    } catch (error) {
      if (error.status !== 404) throw error;
      await new Promise((done) => setTimeout(done, 250));
    }
  }
  tell(run.state === "done" ? "The training is done." : `The training is ${run.state}.`);
  await refresh("#result", "#after");
}

watchExport();
