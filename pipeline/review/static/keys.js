// What every key does: one table, from which the buttons and the help are made as well.
// [action, label, keys as pressed, group, icon of its button and where it stands]

const KEYS = [
  ["keep", "Keep", ["k"], "Decide", "keep", "deck"],
  ["reject", "Reject", ["r"], "Decide", "reject", "deck"],
  ["wrong_person", "Wrong person", ["w"], "Decide", "wrong_person", "deck"],
  ["unsure", "Unsure", ["u"], "Decide", "unsure", "deck"],
  ["rest", "Reject all but these", ["x"], "Decide", "rest", "deck"],
  ["accept", "Accept suggestions", ["a"], "Decide", "accept", "deck"],
  ["toggle", "Keep or reject the picture in focus", [" "], "Decide"],
  ["clear", "Take the decision back", ["Backspace", "Delete"], "Decide"],
  ["left", "Move among the pictures", ["ArrowLeft"], "Move"],
  ["right", "Move among the pictures", ["ArrowRight"], "Move"],
  ["up", "Move among the pictures", ["ArrowUp"], "Move"],
  ["down", "Move among the pictures", ["ArrowDown"], "Move"],
  ["first", "First and last picture", ["Home"], "Move"],
  ["last", "First and last picture", ["End"], "Move"],
  ["next", "Next person", ["n", "PageDown"], "Move", "next", "turn"],
  ["previous", "Previous person", ["N", "PageUp"], "Move", "previous", "turn"],
  ["unfinished", "Next unfinished", ["Enter"], "Move", "unfinished", "deck"],
  ["undo", "Undo", ["z", "Ctrl+z"], "Correct", "undo", "tools"],
  ["redo", "Redo", ["y", "Z", "Ctrl+y", "Ctrl+Z"], "Correct", "redo", "tools"],
  ["zoom", "Zoom: whitened beside original", ["v"], "Look"],
  ["zoom-in", "Larger", ["+", "="], "Look"],
  ["zoom-out", "Smaller", ["-"], "Look"],
  ["scores", "Scores", ["i"], "Look"],
  ["suggestions", "Suggestions on or off", ["s"], "Look"],
  ["theme", "Dark or light", ["l"], "Look", "theme", "tools"],
  ["comment", "Comment", ["m"], "Decide"],
  ["load", "Continue from a file", ["f"], "File", "load", "tools"],
  ["download", "Download decisions", ["d"], "File", "download", "tools"],
  ["help", "All keys", ["?", "h"], "Look", "help", "tools"],
];

const SHOWN = {" ": "Space", ArrowLeft: "←", ArrowRight: "→", ArrowUp: "↑", ArrowDown: "↓", Backspace: "⌫", N: "Shift N", Z: "Shift Z",
  "Ctrl+z": "Ctrl Z", "Ctrl+y": "Ctrl Y", "Ctrl+Z": "Ctrl Shift Z", PageUp: "Page ↑", PageDown: "Page ↓", Enter: "⏎"};

function shown(key) {
  return SHOWN[key] || (key.length === 1 ? key.toUpperCase() : key);
}

// The action of a key press: {action}, {number} for a picture, {reason}, or null.
function meaning(event, reasons) {
  const control = event.ctrlKey || event.metaKey;
  if (event.altKey) return null;
  const digit = /^(?:Digit|Numpad)([0-9])$/.exec(event.code);
  if (digit && !control) return {number: (Number(digit[1]) + 9) % 10 + (event.shiftKey && event.code.startsWith("D") ? 10 : 0)};
  const letter = event.key.length === 1; // Caps Lock is no Shift
  const key = letter ? event.key[event.shiftKey ? "toUpperCase" : "toLowerCase"]() : event.key;
  const row = KEYS.find(([, , keys]) => keys.includes(control ? `Ctrl+${key}` : key));
  if (row) return {action: row[0]};
  const reason = control ? null : reasons.find(([letter]) => letter === key.toLowerCase());
  return reason ? {reason: reason[1]} : null;
}

function button(action, small = false) {
  const [, label, keys, , picture] = KEYS.find(([name]) => name === action);
  const element = make("button", action);
  element.type = "button";
  element.dataset.action = action;
  element.append(icon(picture));
  if (small) {
    element.setAttribute("aria-label", label);
    element.title = `${label} (${shown(keys[0])})`;
  } else {
    element.append(make("span", "", label), make("kbd", "", shown(keys[0])));
  }
  return element;
}

function buildButtons(blind) {
  const of = (place) => KEYS.filter((row) => row[5] === place).map(([action]) => action);
  $("actions").append(...of("deck").filter((action) => !(blind && action === "accept")).map((action) => button(action)));
  $("tools").append(...of("tools").map((action) => button(action, true)));
  const [next, previous] = of("turn").map((action) => button(action, true));
  $("turn").prepend(previous);
  $("turn").append(next);
  $("zoom-actions").append(...DECISIONS.map((action) => button(action)));
}

function buildHelp(batch) {
  const {least, most, blind} = batch;
  $("help-task").textContent = `Keep the ${least} to ${most} best pictures of each person: the right face, facing the camera, `
    + "neutral, sharp, cleanly cut out. Everything else is rejected; a reason helps but is not needed.";
  const groups = new Map();
  const hidden = blind ? ["accept", "suggestions", "scores"] : [];
  const add = (group, keys, label) => {
    const rows = groups.get(group) || [];
    const same = rows.find((row) => row[1] === label);
    if (same) same[0].push(...keys);
    else groups.set(group, [...rows, [keys, label]]);
  };
  add("Decide", ["1 … 9, 0"], "Keep or reject that picture; with Shift 11 to 20");
  for (const [action, label, keys, group] of KEYS) if (!hidden.includes(action)) add(group, keys.map(shown), label);
  for (const [key, , label] of batch.reasons) add("Reasons, after a reject", [key.toUpperCase()], label);
  add("Look", ["Esc"], "Close");
  $("help-keys").replaceChildren(...[...groups].map(([group, rows]) => {
    const section = make("section");
    const list = make("dl");
    for (const [keys, label] of rows) {
      const term = make("dt");
      term.append(...keys.map((key) => make("kbd", "", key)));
      list.append(term, make("dd", "", label));
    }
    section.append(make("h3", "", group), list);
    return section;
  }));
}
