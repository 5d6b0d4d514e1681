import { all, ask, budgetOf, busy, complain, count, find, follow, formOf, refresh, send, takeFiles, tell } from "./page.js";

const id = find("#dataset").dataset.id;
const PARTS = { doctor: "#doctor", advise: "#advice" };

function watch(kind) {
  const box = find(`${PARTS[kind]} .job`);
  if (!box) return;
  follow(box, async () => {
    await refresh(PARTS[kind]);
    tell(kind === "doctor" ? "The look at the pictures is done." : "The advice is there.");
    watch(kind);
  });
}

async function askFor(kind, settings = {}) {
  await ask("POST", `/api/datasets/${id}/${kind}`, settings);
  await refresh(PARTS[kind]);
  watch(kind);
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-ask]");
  if (button) busy(button, () => askFor(button.dataset.ask, { again: button.dataset.again === "true", ...advised(button.dataset.ask) }));
});

/** A decision about pictures that the doctor found: shown wherever they are. */
const DECISIONS = { drop: "left out", relabel: "called otherwise", keep: "taken as they are" };
document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-fixes]");
  if (!button) return;
  const fixes = JSON.parse(button.dataset.fixes);
  const pictures = fixes.map((fix) => String(fix.n));
  busy(button, async () => {
    await ask("PATCH", `/api/datasets/${id}/fixes`, { fixes });
    const shown = all("#doctor li[data-pictures]").filter((item) => item.dataset.pictures.split(" ").some((n) => pictures.includes(n)));
    await refresh(...shown.map((item) => `#${item.id}`), "#spare", "#decided");
    tell(`${fixes.length === 1 ? "The picture is" : `${count(fixes.length)} pictures are`} ${DECISIONS[button.dataset.action]} from the next training on.`);
  });
});

const advised = (kind) => {
  const chosen = find("#train-form input:checked")?.value;
  return kind === "advise" && Number(chosen) ? { budget_s: Number(chosen) } : {};
};

find("#train-form")?.addEventListener("submit", (event) => {
  event.preventDefault();
  busy(event.target, async () => {
    const run = await ask("POST", "/api/runs", { dataset: id, ...budgetOf(event.target) });
    location.assign(`/runs/${run.id}`);
  });
});

// Another budget, another recommendation; what was measured is kept.
find("#train-form")?.addEventListener("change", (event) => {
  if (event.target.name === "budget" && Number(event.target.value) && find("#advice").dataset.state === "done") {
    askFor("advise", advised("advise")).catch(complain);
  }
});

const unlabelled = find("#unlabelled");
if (unlabelled) {
  takeFiles(unlabelled, async (files, shown) => {
    const model = find("#pile-model").value;
    const pile = await send(`/api/datasets/${id}/prelabel?model=${encodeURIComponent(model)}`, formOf(files), (share) =>
      shown(share, `${Math.round(100 * share)} % sent`),
    );
    location.assign(`/piles/${pile.id}`);
  });
}

// Looking needs no decision, so it begins by itself, once; the two wait for each other on the server.
for (const kind of ["doctor", "advise"]) {
  if (all(`${PARTS[kind]} [data-ask]`).length && !find(`${PARTS[kind]} .note`) && !find(`${PARTS[kind]} [data-again]`)) {
    await askFor(kind, advised(kind)).catch(complain);
  } else watch(kind);
}
