// The part of a page that makes a file for other programs; see the macro export_box.

import { ask, busy, find, follow, refresh, tell } from "./page.js";

export function watchExport() {
  const job = find("#export .job");
  if (job) follow(job, async () => {
    await refresh("#export");
    tell(find("#export a[download]") ? "The file is there." : "No file was made.");
    watchExport();
  });
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("#export .ask-export");
  if (button) busy(button, async () => {
    await ask("POST", `/api/models/${encodeURIComponent(find("#export").dataset.model)}/export`, { format: "onnx" });
    await refresh("#export");
    watchExport();
  });
});
