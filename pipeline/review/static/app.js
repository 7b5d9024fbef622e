// What happens on every action: state, storage, server and screen follow one another here.

const ASK_AGAIN = 15000; // ms, where all that is left is with other reviewers

class App {
  constructor(batch, served) {
    this.batch = batch;
    // The last day counts in full, by the clock of whoever reviews.
    this.expired = Boolean(batch.expires) && Date.now() > Date.parse(`${batch.expires}T23:59:59`);
    this.store = new Store(batch);
    this.grid = new Grid($("grid"), this.expired);
    this.panel = new Panel(batch, this.expired);
    this.zoom = new Zoom(this.expired);
    this.watch = new Watch(performance.now());
    this.index = 0; // of the person shown
    this.place = 0; // of the picture in focus
    this.rejected = null; // place of the picture just rejected: the reason keys mean it
    this.typing = null; // task_id of the comment being written
    this.suggestions = !batch.blind;
    this.downloaded = -1; // steps done at the last download
    this.open(served);
  }

  // Read what was saved, and what the server knows, and go on where it was left.
  open(served) {
    this.state = new State(this.batch);
    const view = this.store.load(this.state);
    if (served && !this.server) this.connect();
    if (view && view.suggestions === false) this.setSuggestions(false);
    const at = view ? this.state.people.findIndex((person) => person.tasks[0].task_id === view.person) : 0;
    this.warn();
    if (this.state.people.length) this.show(Math.max(0, at));
    else this.advance();
  }

  connect() {
    this.server = new Server(this.state, this.store, {
      gone: (away, why, unsent) => this.panel.alert("server", away ? `${why || "The server does not answer."} `
        + `${plural(unsent, "decision")} wait${unsent === 1 ? "s" : ""} in this browser and will be sent when it is back.` : ""),
      lost: (names) => this.panel.say(`Meanwhile somebody else was given ${names.join(", ")}; what you decided counts as a second opinion.`),
    });
    const {changes} = this.state.merge(this.batch.decided || []);
    if (changes.length) this.state.write(changes);
  }

  warn() {
    if (this.expired) {
      this.panel.alert("expired", `This batch expired on ${this.batch.expires}: its pictures are not shown any more. `
        + "Your decisions can still be downloaded; please delete the folder afterwards.", ["Download decisions", "download"]);
    }
    if (!this.store.works) {
      this.panel.alert("storage", "This browser does not save your decisions. Download them before you close the page.",
        ["Download decisions", "download"]);
    }
  }

  get person() { return this.state.people[this.index]; }
  get tasks() { return this.person.tasks; }
  get task() { return this.tasks[this.place]; }
  get tally() { return this.state.tallies[this.index]; }

  view() {
    return {person: this.tasks[0].task_id, suggestions: this.suggestions};
  }

  // --- showing -----------------------------------------------------------------------------------------------------

  show(index, place = null, take = true) {
    this.index = index;
    this.rejected = this.typing = null;
    $("finished").hidden = true;
    $("work").hidden = $("actions").hidden = false;
    const record = (task) => this.state.record(task);
    const open = this.tasks.findIndex((task) => !record(task).decision);
    this.place = place === null ? Math.max(0, open) : place;
    this.grid.show(this.tasks, record, this.suggestions);
    this.panel.person(this.person, index, this.totals());
    this.around();
    this.grid.focus(this.place, take);
    this.store.saveHead(this.state, this.view());
    this.panel.say(`${$("name").textContent}: ${plural(this.tasks.length, "picture")}, ${$("kept-text").textContent}.`);
    clearTimeout(this.looking); // who pages quickly wants the pictures of where they stop
    this.looking = setTimeout(() => this.lookAhead(), 50); // after this screen is painted
  }

  async lookAhead() {
    let next = this.state.unfinished(this.index);
    if (this.server && (next < 0 || next === this.index)) next = await this.take();
    if (next >= 0 && next !== this.index) this.grid.preload(this.state.people[next].tasks);
  }

  // Asks the server for one more person; its index, or -1.
  async take() {
    this.taking = this.taking || this.server.take();
    const answer = await this.taking;
    if (!this.taking) return this.state.unfinished(this.index); // somebody else waited for the same answer
    this.taking = null;
    if (!answer) return -1;
    this.lent = answer.lent;
    const index = answer.person ? this.state.addPerson(answer.person) : -1;
    this.panel.progress(this.totals());
    return index;
  }

  totals() {
    return {...this.state.totals(), left: this.server ? this.server.left : null};
  }

  // All but the cards.
  around() {
    this.panel.kept(this.tally);
    this.panel.progress(this.totals());
    this.panel.picture(this.task, this.place, this.state.record(this.task), this.suggestions, this.target());
    if (this.zoom.open) this.zoom.show(this.task, this.place, this.state.record(this.task));
  }

  // The picture whose reasons the keys set: the one just rejected, else the one in focus where it is not kept.
  target() {
    const place = this.rejected ?? this.place;
    const record = this.state.record(this.tasks[place]);
    return record.decision && record.decision !== "keep" ? {place, record} : null;
  }

  move(place, take = true) {
    this.rejected = this.typing = null;
    this.place = Math.max(0, Math.min(this.tasks.length - 1, place));
    this.grid.focus(this.place, take && !this.zoom.open);
    this.around();
  }

  // --- deciding ----------------------------------------------------------------------------------------------------

  // One step: [place, fields] of pictures of this person. All that must follow a change happens here.
  change(label, wanted, amend = false) {
    if (this.expired) return this.closed();
    const at = new Date().toISOString();
    const share = this.watch.take() / wanted.length;
    const changes = wanted.map(([place, fields]) => {
      const before = this.state.record(this.tasks[place]);
      const seconds = Math.round((before.seconds + share) * 100) / 100; // here, so that what is saved is what is shown
      return [this.tasks[place].task_id, {...before, ...fields, seconds, at}];
    });
    this.state.change(`${label}, ${called(this.person)}`, changes, amend);
    this.follow(changes, this.store.save(this.state, this.view()));
    return null;
  }

  closed() {
    return this.panel.say("This batch has expired: nothing can be decided any more.");
  }

  follow(changes, saved) {
    if (!saved) this.warn();
    for (const [id] of changes) {
      const {person, place, task} = this.state.taskOf.get(id);
      if (person === this.index) this.grid.update(place, this.state.record(task), this.suggestions);
    }
    if (this.server) this.server.changed(changes.map(([id]) => id));
    this.around();
  }

  decide(decision, place = this.place, stay = false) {
    if (this.expired) return this.closed();
    const before = this.state.record(this.tasks[place]);
    if (decision === "keep" && before.decision !== "keep" && !this.state.room(this.index)) return this.full();
    const reasons = decision === "keep" || before.decision !== decision ? [] : before.reasons;
    this.rejected = decision === "reject" ? place : null;
    this.place = stay ? place : Math.min(this.tasks.length - 1, place + 1);
    this.change(`picture ${place + 1}: ${WORDS[decision].toLowerCase()}`, [[place, {decision, reasons}]]);
    this.grid.focus(this.place, !this.zoom.open);
    return this.told(`Picture ${place + 1}: ${WORDS[decision].toLowerCase()}.`);
  }

  toggle(place) {
    if (place >= this.tasks.length) return this.panel.say(`There is no picture ${place + 1}.`);
    const {decision} = this.state.record(this.tasks[place]);
    return this.decide(decision === "keep" ? "reject" : "keep", place, true);
  }

  full() {
    const {most} = this.batch;
    return this.panel.say(`${this.tally.kept} are kept already, and ${most} is the most. Reject one of them first, then keep this one.`);
  }

  told(what) {
    const {kept, decided, pictures, finished} = this.tally;
    const few = kept < this.batch.least ? ` With fewer than ${this.batch.least} kept this person is left out.` : "";
    const rest = finished ? `All decided.${few} Enter goes on.` : `${decided} of ${pictures} decided.`;
    this.panel.say(`${what} ${kept} kept. ${rest}`);
  }

  clear() {
    if (this.expired) return this.closed();
    if (!this.state.record(this.task).decision) return this.panel.say("Nothing is decided about this picture.");
    this.change(`picture ${this.place + 1}: taken back`, [[this.place, {decision: null, reasons: []}]]);
    return this.told(`Picture ${this.place + 1}: undecided.`);
  }

  undecided() {
    return this.tasks.map((task, place) => [task, place]).filter(([task]) => !this.state.record(task).decision);
  }

  rest() {
    if (this.expired) return this.closed();
    const places = this.undecided().map(([, place]) => place);
    if (!places.length) return this.panel.say("Nothing is undecided here.");
    this.rejected = null;
    this.change(`${plural(places.length, "picture")} rejected`, places.map((place) => [place, {decision: "reject", reasons: []}]));
    return this.told(`The other ${places.length} rejected.`);
  }

  accept() {
    if (this.expired) return this.closed();
    if (!this.suggestions) return this.panel.say("Suggestions are off.");
    let room = this.state.room(this.index);
    const wanted = [];
    for (const [task, place] of this.undecided()) {
      if (!task.suggested || (task.suggested === "keep" && room === 0)) continue;
      room -= task.suggested === "keep";
      wanted.push([place, {decision: task.suggested, reasons: []}]);
    }
    if (!wanted.length) return this.panel.say("No suggestion is left here.");
    this.rejected = null;
    this.change(`${plural(wanted.length, "suggestion")} accepted`, wanted);
    return this.told(`${plural(wanted.length, "suggestion")} accepted.`);
  }

  reason(name) {
    if (this.expired) return this.closed();
    const target = this.target();
    if (!target) return this.panel.say("A reason belongs to a picture that is not kept: reject it first.");
    const {place, record} = target;
    const reasons = record.reasons.includes(name) ? record.reasons.filter((one) => one !== name) : [...record.reasons, name];
    this.change(`picture ${place + 1}: reasons`, [[place, {reasons}]]);
    return this.panel.say(`Picture ${place + 1}, reasons: ${reasons.join(", ") || "none"}.`);
  }

  comment(text) {
    const id = this.task.task_id;
    this.change(`picture ${this.place + 1}: comment`, [[this.place, {comment: text.toWellFormed?.() ?? text}]], this.typing === id);
    this.typing = id;
  }

  // `way`: "undo" or "redo".
  travel(way) {
    if (this.expired) return this.closed();
    const step = this.state[way]();
    if (!step) return this.panel.say(way === "undo" ? "Nothing to undo." : "Nothing to do again.");
    const {person, place} = this.state.taskOf.get(step.changes[0][0]);
    if (person !== this.index || $("work").hidden) this.show(person, place);
    this.typing = this.rejected = null;
    this.place = place;
    this.follow(step.changes, this.store.saveHead(this.state, this.view()));
    this.grid.focus(place, !this.zoom.open);
    return this.panel.say(`${way === "undo" ? "Undone" : "Done again"}: ${step.label}.`);
  }

  // --- from person to person ---------------------------------------------------------------------------------------

  go(by) {
    const next = this.index + by;
    if (next < 0) return this.panel.say("This is the first person.");
    if (next < this.state.people.length) return this.show(next);
    return this.server ? this.advance() : this.panel.say("This is the last person.");
  }

  async advance() {
    let next = this.state.people.length ? this.state.unfinished(this.index) : -1;
    if (this.server && (next < 0 || next === this.index)) {
      const given = await this.take();
      if (given >= 0) next = given;
    }
    if (next >= 0 && (next !== this.index || $("work").hidden)) return this.show(next);
    return next < 0 ? this.finish() : this.panel.say("Only this person is left: some pictures here are undecided.");
  }

  finish() {
    for (const dialog of document.querySelectorAll("dialog[open]")) dialog.close();
    const lent = this.server && this.lent ? `${plural(this.lent, "person is", "people are")} with other reviewers; whoever is given back comes up here.` : "";
    let where = "Download your decisions and send the file back.";
    if (this.server) where = this.server.unsent.size ? "Leave this page open until all is sent." : "Your decisions are on the server's disk.";
    this.panel.finish(this.state, lent || where, !(this.server && this.server.away));
    $("work").hidden = $("actions").hidden = true;
    $("finished").hidden = false;
    $("finished").focus();
    this.panel.say($("finished-title").textContent);
    clearTimeout(this.asking);
    if (lent) this.asking = setTimeout(() => { if (!$("finished").hidden) this.advance(); }, ASK_AGAIN);
  }

  // --- the rest ----------------------------------------------------------------------------------------------------

  download() {
    const lines = this.state.lines();
    download(this.batch.batch, lines);
    this.downloaded = this.state.done;
    this.panel.say(`${plural(lines.length, "decision")} downloaded.`);
  }

  async load(file) {
    if (file.size > 2 ** 26) return this.panel.say("That file is too large to be decisions.");
    const {changes, refused} = this.state.merge(parseLines(await file.text()));
    const no = refusal(refused, this.batch.reviewer);
    if (changes.length) {
      this.state.change(`${plural(changes.length, "decision")} from a file`, changes);
      const saved = this.store.save(this.state, this.view());
      if (this.server) this.server.changed(changes.map(([id]) => id));
      const next = this.state.unfinished(this.index - 1);
      if (next >= 0) this.show(next);
      else this.finish();
      if (!saved) this.warn();
    }
    return this.panel.say(`${plural(changes.length, "decision")} taken over${no ? `; ${no}` : ""}.`);
  }

  setSuggestions(on) {
    this.suggestions = on && !this.batch.blind;
    document.body.classList.toggle("no-suggestions", !this.suggestions);
    $("suggestions-button").setAttribute("aria-pressed", String(this.suggestions));
  }

  forget() {
    this.store.forget();
    this.panel.say("Removed. The decisions stay on this page until you close it.");
  }
}
