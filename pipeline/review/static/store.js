// The browser's own storage: one small entry per step, so that a key press writes a hundred bytes, not the batch.

const FORMAT = 1;
const ALL_BATCHES = "hqvox-review/"; // prefix of what does not belong to one batch

// A step as text. Pictures that were given the same record share it.
function packed({label, changes}) {
  const groups = new Map();
  for (const [id, , after] of changes) {
    const record = after && [after.decision, after.reasons, after.comment, after.seconds, after.at];
    const text = JSON.stringify(record);
    groups.set(text, [...(groups.get(text) || [record]), id]);
  }
  return JSON.stringify([label, ...groups.values()]);
}

// Throws where the text is no step.
function unpacked(text) {
  const [label, ...groups] = JSON.parse(text);
  const changes = groups.flatMap(([record, ...ids]) => {
    if (record && !(Array.isArray(record[1]) && typeof record[2] === "string")) throw new TypeError("no record");
    const after = record && {decision: record[0], reasons: record[1], comment: record[2], seconds: record[3], at: record[4]};
    return ids.map((id) => [id, after]);
  });
  return {label, changes};
}

class Store {
  constructor(batch) {
    this.prefix = `hqvox-review/${JSON.stringify([batch.dataset, batch.batch, batch.reviewer])}/`;
    this.works = true;
    this.length = 0; // steps saved
    try {
      this.disk = window.localStorage;
      this.disk.setItem(`${this.prefix}probe`, "1");
      this.disk.removeItem(`${this.prefix}probe`);
    } catch {
      this.works = false;
    }
  }

  get(name, prefix = this.prefix) {
    return this.works ? this.disk.getItem(prefix + name) : null;
  }

  // False where the browser cannot save any more: the caller says so.
  set(name, value, prefix = this.prefix) {
    if (!this.works) return false;
    try {
      this.disk.setItem(prefix + name, value);
      return true;
    } catch {
      this.works = false;
      return false;
    }
  }

  // The steps of a state from `from` on, then where we are. A crash in between loses nothing: an entry behind the
  // head is ignored.
  save(state, view, from = Math.max(0, state.done - 1)) {
    const last = state.steps.length;
    for (let n = from; n < last; n += 1) {
      if (!this.set(`step/${n}`, packed(state.steps[n]))) return false;
    }
    for (let n = last; n < this.length && this.works; n += 1) this.disk.removeItem(`${this.prefix}step/${n}`);
    this.length = last;
    return this.saveHead(state, view);
  }

  saveHead(state, view) {
    return this.set("head", JSON.stringify({format: FORMAT, done: state.done, steps: state.steps.length, ...view}));
  }

  // Replays what was saved into a fresh state; returns the view it was left at, or null.
  load(state) {
    const head = this.read("head", JSON.parse) || this.rebuiltHead();
    if (head.format !== FORMAT) return null;
    this.length = head.steps;
    let ahead = 0; // steps that were undone and can be done again
    for (let n = 0; n < head.steps; n += 1) {
      const step = this.read(`step/${n}`, unpacked);
      const changes = step ? step.changes.filter(([id]) => state.taskOf.has(id)) : [];
      if (!changes.length) continue;
      state.change(step.label, changes);
      ahead += n >= head.done;
    }
    for (let n = 0; n < ahead; n += 1) state.undo();
    if (state.steps.length !== head.steps) this.save(state, {person: head.person}, 0);
    return head;
  }

  // Where the head cannot be read, the steps that follow one another still tell what was decided.
  rebuiltHead() {
    let steps = 0;
    while (this.get(`step/${steps}`) !== null) steps += 1;
    return steps ? {format: FORMAT, done: steps, steps} : {};
  }

  // A saved entry, or null where there is none or it cannot be read.
  read(name, parse) {
    try {
      return parse(this.get(name));
    } catch {
      return null;
    }
  }

  forget() {
    if (!this.works) return;
    const names = Array.from({length: this.disk.length}, (_, n) => this.disk.key(n));
    names.filter((name) => name.startsWith(this.prefix)).forEach((name) => this.disk.removeItem(name));
  }
}
