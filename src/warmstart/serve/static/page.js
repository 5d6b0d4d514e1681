// What every page needs: asking the server, telling people, taking files, listening to jobs, fetching a part of the page anew.

export const find = (selector, within = document) => within.querySelector(selector);
export const all = (selector, within = document) => [...within.querySelectorAll(selector)];

/** An element with attributes and children. Text stays text: nothing is parsed as HTML. */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child != null));
  return element;
}

export const percent = (share) => `${(100 * share).toFixed(1)} %`;
export const count = (n) => n.toLocaleString("en");

/** Read out by a screen reader, when it has a moment. */
export function tell(sentence) {
  find("#told").textContent = sentence;
}

/** Shown until it is closed, and read out at once. */
export function complain(error) {
  const box = find("#problem");
  box.replaceChildren(error.message, make("button", { type: "button", "aria-label": "Close", onclick: () => (box.hidden = true) }, "×"));
  box.hidden = false;
}

/** The server's answer. Throws what it refused with. */
export async function ask(method, address, body) {
  const form = body instanceof FormData;
  const options = { method, headers: { Accept: "application/json" } };
  if (body !== undefined) options.body = form ? body : JSON.stringify(body);
  if (body !== undefined && !form) options.headers["Content-Type"] = "application/json";
  let answer;
  try {
    answer = await fetch(address, options);
  } catch {
    throw new Error("The server does not answer. Is it still running?");
  }
  return read(answer.status, await answer.text());
}

function read(status, text) {
  let document = null;
  try {
    document = text ? JSON.parse(text) : null;
  } catch {
    throw new Error(`The server answered with something unexpected (${status}).`);
  }
  if (status >= 400) {
    const error = new Error(document?.error?.message ?? `The server refused (${status}).`);
    error.status = status;
    error.kind = document?.error?.kind;
    throw error;
  }
  return document;
}

/** As `ask`, for much data: `progress` is told the share that has been sent. */
export function send(address, form, progress) {
  return new Promise((done, failed) => {
    const request = new XMLHttpRequest();
    request.open("POST", address);
    request.setRequestHeader("Accept", "application/json");
    request.upload.addEventListener("progress", (event) => event.lengthComputable && progress(event.loaded / event.total));
    request.addEventListener("load", () => {
      try {
        done(read(request.status, request.responseText));
      } catch (error) {
        failed(error);
      }
    });
    request.addEventListener("error", () => failed(new Error("The upload broke off. Is the server still running, and the file still there?")));
    request.send(form);
  });
}

/** A button's or form's work: not twice at once, and what goes wrong is shown. */
export async function busy(element, work) {
  if (element.getAttribute("aria-busy") === "true") return;
  const buttons = element.matches("button") ? [element] : all("button", element);
  element.setAttribute("aria-busy", "true");
  for (const button of buttons) button.setAttribute("aria-disabled", "true"); // not `disabled`, which would take the focus away
  try {
    await work();
  } catch (error) {
    complain(error);
  } finally {
    element.removeAttribute("aria-busy");
    for (const button of buttons) button.removeAttribute("aria-disabled");
  }
}

/** Fetch this page again and put these parts of it in the place of what is shown. */
export async function refresh(...selectors) {
  const answer = await fetch(location.href, { headers: { Accept: "text/html" } }).catch(() => null);
  if (!answer) throw new Error("The server does not answer. Is it still running?");
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const selector of selectors) {
    const [old, now] = [find(selector), find(selector, fresh)];
    if (!now) continue;
    if (!old) {
      location.reload();
      return;
    }
    const hadFocus = old.contains(document.activeElement);
    old.replaceWith(now);
    if (hadFocus) {
      const heading = find("h2", now) ?? now;
      heading.tabIndex = -1;
      heading.focus();
    }
  }
}

/** Listen to a job from its event `seen` on. `heard` has a function by kind of event, and `end`. */
export function listen(job, seen, heard) {
  const source = new EventSource(`/api/runs/${encodeURIComponent(job)}/events?after=${seen}`);
  for (const [kind, handle] of Object.entries(heard)) {
    source.addEventListener(kind, (event) => {
      if (kind === "end") source.close();
      handle(JSON.parse(event.data));
    });
  }
  // A lost connection is taken up again by the browser itself; a refused one (too many are open) is looked at again in a while.
  source.addEventListener("error", () => {
    if (source.readyState === EventSource.CLOSED) setTimeout(() => heard.end({ type: "end" }), 5000);
  });
}

/** Progress of a job inside an element made by the macro `working`; `then` when it is over. */
export function follow(box, then) {
  const bar = find("progress", box), phase = find(".phase", box), amount = find(".amount", box);
  const what = bar.getAttribute("aria-label");
  listen(box.dataset.job, box.dataset.seen, {
    state: (event) => { if (event.state === "running") phase.textContent = what; },
    progress: (event) => showProgress(bar, amount, event),
    end: () => Promise.resolve(then()).catch(complain),
  });
}

export function showProgress(bar, amount, { phase, done, total }) {
  if (total > 0) {
    bar.max = total;
    bar.value = done;
  } else bar.removeAttribute("value");
  amount.textContent = `${phase} ${count(done)}${total > 0 ? ` of ${count(total)}` : ""}`;
}

/** Files dropped on, or chosen in, an element made by the macro `drop`: [{file, path}], and words for how far it is. */
export function takeFiles(zone, take) {
  const sending = find(".sending", zone);
  const begin = async (given) => {
    const files = given.filter(meant);
    if (!files.length || zone.getAttribute("aria-busy") === "true") return;
    zone.setAttribute("aria-busy", "true");
    try {
      await take(files, (share, words) => {
        sending.hidden = share === null;
        if (share !== null) find("progress", sending).value = share;
        find("span", sending).textContent = words ?? "";
      });
    } catch (error) {
      complain(error);
    } finally {
      zone.removeAttribute("aria-busy");
      sending.hidden = true;
    }
  };
  for (const input of all("input[type=file]", zone)) {
    input.addEventListener("change", async () => {
      const files = [...input.files].map((file) => ({ file, path: file.webkitRelativePath || file.name }));
      await begin(files);
      input.value = "";
    });
  }
  zone.addEventListener("dragover", (event) => { event.preventDefault(); zone.classList.add("over"); });
  zone.addEventListener("dragleave", () => zone.classList.remove("over"));
  zone.addEventListener("drop", async (event) => {
    event.preventDefault();
    zone.classList.remove("over");
    const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
    const plain = [...event.dataTransfer.files].map((file) => ({ file, path: file.name }));
    begin(entries.length ? (await Promise.all(entries.map(unfold))).flat() : plain);
  });
}

async function unfold(entry) {
  if (entry.isFile) {
    const file = await new Promise((done, failed) => entry.file(done, failed));
    return [{ file, path: entry.fullPath.replace(/^\//, "") }];
  }
  const reader = entry.createReader();
  const found = [];
  for (;;) { // a hundred at a time
    const some = await new Promise((done, failed) => reader.readEntries(done, failed));
    if (!some.length) break;
    found.push(...some);
  }
  return (await Promise.all(found.map(unfold))).flat();
}

/** What a system puts beside pictures is not meant. */
const meant = ({ path }) => !path.split("/").some((part) => part.startsWith(".") || part === "__MACOSX");

/** A form of files for the server. */
export function formOf(files) {
  const form = new FormData();
  for (const { file, path } of files) form.append("file", file, path);
  return form;
}

export const budgetOf = (form) => {
  const chosen = new FormData(form).get("budget");
  return chosen === "quick" ? { plan: { cut: "pooled" } } : { budget_s: Number(chosen) };
};

// A file that misses its zone must not replace the page.
for (const kind of ["dragover", "drop"]) document.addEventListener(kind, (event) => event.preventDefault());

document.addEventListener("click", (event) => {
  const button = event.target.closest?.("[data-delete]");
  if (!button) return;
  busy(button, async () => {
    await ask("DELETE", button.dataset.delete);
    if (button.dataset.then) location.assign(button.dataset.then);
    else location.reload();
  });
});
