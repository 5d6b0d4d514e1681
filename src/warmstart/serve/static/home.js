import { ask, busy, find, formOf, send, takeFiles } from "./page.js";

takeFiles(find("#upload"), async (files, shown) => {
  shown(0, "Sending …");
  const made = await send("/api/datasets", formOf(files), (share) =>
    shown(share, share < 1 ? `${Math.round(100 * share)} % sent` : "Looking at what came …"),
  );
  location.assign(`/datasets/${made.id}`);
});

find("#folder")?.addEventListener("submit", (event) => {
  event.preventDefault();
  busy(event.target, async () => {
    const made = await ask("POST", "/api/datasets", { folder: new FormData(event.target).get("path") });
    location.assign(`/datasets/${made.id}`);
  });
});
