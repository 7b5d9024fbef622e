// The candidates of one person: cards that are built when a person comes up and changed in place afterwards.
// Text enters the document through textContent only.

const SVG = "http://www.w3.org/2000/svg";
const WORDS = {keep: "Keep", reject: "Rejected", wrong_person: "Wrong person", unsure: "Unsure"};
const PICTURE = /^pictures\/[0-9a-f]{8,64}o?\.jpg$/; // what an export writes, and nothing else

const $ = (id) => document.getElementById(id);

function make(tag, classes = "", text = "") {
  const element = document.createElement(tag);
  if (classes) element.className = classes;
  if (text) element.textContent = text;
  return element;
}

function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `#i-${name}`);
  svg.append(use);
  return svg;
}

function plural(count, one, many = `${one}s`) {
  return `${count.toLocaleString("en")} ${count === 1 ? one : many}`;
}

// Names come as in the metadata, some with underscores.
function called(person) {
  return (person.name || person.identity).replaceAll("_", " ");
}

// Point an <img> at a picture of the batch; an expired batch shows none.
function point(image, address, expired) {
  if (expired || !PICTURE.test(address)) {
    image.removeAttribute("src");
  } else if (image.getAttribute("src") !== address) {
    image.src = address;
  }
}

class Grid {
  constructor(element, expired) {
    this.element = element;
    this.expired = expired;
    this.cards = [];
    this.ahead = []; // pictures of the next person, being fetched
    new ResizeObserver(() => this.fit()).observe(element);
  }

  show(tasks, record, suggestions) {
    this.tasks = tasks;
    this.cards = tasks.map((task, place) => this.card(task, place));
    this.element.replaceChildren(...this.cards);
    this.fit();
    tasks.forEach((_, place) => this.update(place, record(tasks[place]), suggestions));
  }

  card(task, place) {
    const card = make("div", "card");
    card.setAttribute("role", "option");
    card.tabIndex = -1;
    card.dataset.place = place;
    const image = make("img");
    image.alt = "";
    image.decoding = "async";
    image.draggable = false;
    image.addEventListener("error", () => card.classList.add("missing"));
    point(image, task.white, this.expired);
    card.append(image, make("span", "number", place < 20 ? String(place + 1) : ""), make("span", "badge"),
      make("span", "suggested"), ...(task.quality === null ? [] : [make("span", "quality", task.quality.toFixed(2))]));
    return card;
  }

  // What the card says: by colour, by mark, by word, and to a screen reader.
  update(place, record, suggestions) {
    const card = this.cards[place];
    const task = this.tasks[place];
    const decision = record.decision || "";
    const suggested = suggestions && task.suggested;
    card.dataset.decision = decision;
    const badge = card.querySelector(".badge");
    badge.replaceChildren(...(decision ? [icon(decision), make("span", "", WORDS[decision])] : []));
    const hint = card.querySelector(".suggested");
    hint.dataset.suggested = task.suggested || "";
    hint.replaceChildren(...(suggested && !decision ? [icon("accept"), make("span", "", suggested)] : []));
    card.setAttribute("aria-selected", String(decision === "keep"));
    card.setAttribute("aria-label", [
      `Picture ${place + 1} of ${this.tasks.length}`,
      decision ? WORDS[decision] : "undecided",
      ...(suggested ? [`suggested: ${suggested}`] : []),
      ...(record.reasons.length ? [`reasons: ${record.reasons.join(", ")}`] : []),
    ].join(", "));
  }

  focus(place, take = true) {
    this.cards.forEach((card, n) => {
      card.tabIndex = n === place ? 0 : -1;
      card.classList.toggle("here", n === place);
    });
    const card = this.cards[place];
    if (!card) return;
    if (take) card.focus({preventScroll: true});
    card.scrollIntoView({block: "nearest"});
  }

  // The number of columns that makes the cards largest while all of them are in view; of nearly equals the widest.
  fit() {
    const count = this.cards.length;
    if (!count) return;
    const style = getComputedStyle(this.element);
    const gap = parseFloat(style.columnGap) || 0;
    const width = this.element.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight) + gap;
    const height = this.element.clientHeight - parseFloat(style.paddingTop) - parseFloat(style.paddingBottom) + gap;
    const side = (columns) => Math.min(width / columns, height / Math.ceil(count / columns)) - gap;
    let best = 1;
    for (let columns = 2; columns <= count; columns += 1) if (side(columns) > 0.97 * side(best)) best = columns;
    const size = Math.floor(Math.max(104, Math.min(300, side(best)))); // px: below, the grid scrolls
    this.columns = Math.max(1, Math.min(count, Math.floor(width / (size + gap))));
    this.element.style.setProperty("--side", `${size}px`);
    this.element.style.setProperty("--columns", this.columns);
  }

  preload(tasks) {
    if (this.expired) return;
    this.ahead = tasks.flatMap((task) => [task.white, task.original]).filter((address) => PICTURE.test(address))
      .map((address) => Object.assign(new Image(), {src: address}));
  }
}
