// Keys, clicks and files become actions.

const batch = JSON.parse($("batch").textContent);
const served = "served" in document.body.dataset;
buildButtons(batch.blind);
buildHelp(batch);
const app = new App(batch, served);

const ACTIONS = {
  rest: () => app.rest(),
  accept: () => app.accept(),
  toggle: () => app.toggle(app.place),
  clear: () => app.clear(),
  left: () => app.move(app.place - 1),
  right: () => app.move(app.place + 1),
  up: () => app.move(app.place - app.grid.columns < 0 ? app.place : app.place - app.grid.columns),
  down: () => app.move(app.place + app.grid.columns),
  first: () => app.move(0),
  last: () => app.move(app.tasks.length - 1),
  previous: () => app.go(-1),
  next: () => app.go(1),
  unfinished: () => app.advance(),
  back: () => app.state.people.length && app.show(app.index),
  undo: () => app.travel("undo"),
  redo: () => app.travel("redo"),
  zoom: () => (app.zoom.open ? $("zoom").close() : app.zoom.show(app.task, app.place, app.state.record(app.task))),
  "zoom-in": () => app.zoom.open && app.zoom.step(1),
  "zoom-out": () => app.zoom.open && app.zoom.step(-1),
  scores: () => {
    const on = document.body.classList.toggle("with-scores");
    $("scores").hidden = !on;
    $("scores-button").setAttribute("aria-expanded", String(on));
  },
  suggestions: () => {
    app.setSuggestions(!app.suggestions);
    app.show(app.index, app.place);
  },
  theme: () => setTheme(isDark() ? "light" : "dark"),
  comment: () => $("comment").focus(),
  load: () => $("file").click(),
  download: () => app.download(),
  forget: () => app.forget(),
  help: () => ($("help").open ? $("help").close() : $("help").showModal()),
  close: () => document.querySelector("dialog[open]")?.close(),
};
for (const decision of DECISIONS) ACTIONS[decision] = () => app.decide(decision);

const ANYWHERE = new Set(["unfinished", "undo", "redo", "theme", "load", "download", "help", "back", "forget", "close"]);

// A key that is held down moves on and on, but decides only once.
const HELD = new Set(["left", "right", "up", "down", "undo", "redo", "zoom-in", "zoom-out"]);

// On the last screen, and under the help, no key may decide about pictures that nobody sees.
function act(action) {
  if (!ANYWHERE.has(action) && ($("work").hidden || $("help").open)) return;
  ACTIONS[action]();
}

function isDark() {
  return (document.documentElement.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
}

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  app.store.set("theme", theme, ALL_BATCHES);
}

function input() {
  if (!document.hidden) app.watch.tick(performance.now());
}

document.addEventListener("keydown", (event) => {
  input();
  const pressed = event.target.closest("button, summary");
  if (event.target === $("comment")) {
    if (event.key === "Enter" || event.key === "Escape") {
      event.preventDefault();
      app.move(app.place);
    }
    return;
  }
  if (pressed && (event.key === "Enter" || event.key === " ")) return; // the button's own keys
  const meant = meaning(event, batch.reasons);
  if (!meant) return;
  event.preventDefault();
  if (event.repeat && !HELD.has(meant.action)) return;
  if (meant.action) act(meant.action);
  else if ($("work").hidden || $("help").open) return;
  else if (meant.reason) app.reason(meant.reason);
  else app.toggle(meant.number);
});

document.addEventListener("click", (event) => {
  const card = event.target.closest(".card");
  const pressed = event.target.closest("button");
  if (card) {
    app.move(Number(card.dataset.place));
    app.toggle(app.place);
  } else if (pressed && pressed.dataset.action) {
    act(pressed.dataset.action);
  } else if (pressed && pressed.dataset.reason) {
    app.reason(pressed.dataset.reason);
  } else if (event.target.matches("dialog[open]")) {
    event.target.close(); // a click beside it
  }
  // After a click the keys are to mean the picture again; who tabs to a button stays there.
  if (pressed && event.detail > 0 && !document.querySelector("dialog[open]") && !$("work").hidden) app.grid.focus(app.place);
});

for (const name of ["pointerdown", "wheel"]) document.addEventListener(name, input, {passive: true});
$("comment").addEventListener("input", () => app.comment($("comment").value));
$("comment").addEventListener("blur", () => { app.typing = null; });
$("file").addEventListener("change", async () => {
  const [file] = $("file").files;
  $("file").value = "";
  if (file) await app.load(file);
});
$("grid").addEventListener("focusin", (event) => {
  const card = event.target.closest(".card");
  if (card && Number(card.dataset.place) !== app.place) app.move(Number(card.dataset.place), false);
});
for (const dialog of document.querySelectorAll("dialog")) {
  dialog.addEventListener("close", () => { if (!$("work").hidden) app.grid.focus(app.place); });
}

document.addEventListener("visibilitychange", () => (document.hidden ? app.watch.tick(performance.now()) : app.watch.away(performance.now())));
window.addEventListener("pagehide", () => { if (app.server && app.server.unsent.size) app.server.send({keepalive: true}); });
window.addEventListener("beforeunload", (event) => {
  const safe = app.store.works || app.state.done === 0 || app.downloaded === app.state.done;
  if (!safe) event.preventDefault();
});
// Another window with the same batch has saved: follow it, so that the two never write over each other.
window.addEventListener("storage", (event) => { if (event.key === `${app.store.prefix}head` && event.newValue && !served) app.open(served); });

const theme = app.store.get("theme", ALL_BATCHES);
if (theme === "dark" || theme === "light") document.documentElement.dataset.theme = theme;
