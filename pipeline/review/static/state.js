// What was decided, and every step that led there. No document, no storage: only data.
// A record is {decision, reasons, comment, seconds, at}; a picture nobody touched has none.

const DECISIONS = ["keep", "reject", "wrong_person", "unsure"];
const BLANK = Object.freeze({decision: null, reasons: Object.freeze([]), comment: "", seconds: 0, at: null});

// A time as every reader of the file takes it, or null.
function moment(text) {
  const time = Date.parse(text);
  return Number.isNaN(time) ? null : new Date(time).toISOString();
}

class State {
  constructor(batch) {
    this.batch = batch;
    this.people = [];
    this.taskOf = new Map(); // task_id -> {task, person, place}
    this.records = new Map(); // task_id -> record
    this.steps = []; // {label, changes: [[task_id, before, after], …]}
    this.done = 0; // steps[0 … done) hold, those behind can be done again
    this.tallies = []; // of each person
    batch.people.forEach((person) => this.addPerson(person));
  }

  // Somebody who comes a second time, from a server that had taken them back, is the same person.
  addPerson(person) {
    const known = this.taskOf.get(person.tasks[0].task_id);
    if (known) return known.person;
    const index = this.people.push(person) - 1;
    person.tasks.forEach((task, place) => this.taskOf.set(task.task_id, {task, person: index, place}));
    this.tallies.push(null);
    this.count(index);
    return index;
  }

  record(task) {
    return this.records.get(task.task_id) || BLANK;
  }

  count(index) {
    const {tasks, kept} = this.people[index];
    const tally = {keep: 0, decided: 0, seconds: 0, pictures: tasks.length};
    for (const task of tasks) {
      const {decision, seconds} = this.record(task);
      if (decision) {
        tally.decided += 1;
        tally.seconds += seconds;
        tally.keep += decision === "keep";
      }
    }
    tally.kept = (kept || 0) + tally.keep;
    tally.tooMany = tally.keep > 0 && tally.kept > this.batch.most;
    tally.finished = tally.decided === tasks.length && !tally.tooMany;
    this.tallies[index] = tally;
  }

  // How many more pictures of a person may be kept.
  room(index) {
    return Math.max(0, this.batch.most - this.tallies[index].kept);
  }

  // One step forward. `amend`: the step continues the last one (typing), and undo takes both back.
  change(label, changes, amend = false) {
    const full = changes.map(([id, after]) => [id, this.records.get(id) || null, after]);
    if (amend && this.done === this.steps.length && this.done > 0) {
      const last = this.steps[this.done - 1];
      last.changes = full.map(([id, , after], n) => [id, last.changes[n][1], after]);
    } else {
      this.steps.length = this.done;
      this.steps.push({label, changes: full});
      this.done += 1;
    }
    return this.write(full.map(([id, , after]) => [id, after]));
  }

  undo() {
    if (this.done === 0) return null;
    const step = this.steps[--this.done];
    this.write(step.changes.map(([id, before]) => [id, before]));
    return step;
  }

  redo() {
    if (this.done === this.steps.length) return null;
    const step = this.steps[this.done++];
    this.write(step.changes.map(([id, , after]) => [id, after]));
    return step;
  }

  // Set records; returns the people concerned.
  write(pairs) {
    const touched = new Set();
    for (const [id, record] of pairs) {
      if (record) this.records.set(id, record);
      else this.records.delete(id);
      touched.add(this.taskOf.get(id).person);
    }
    touched.forEach((index) => this.count(index));
    return touched;
  }

  totals() {
    const sum = {people: this.people.length, finished: 0, pictures: 0, decided: 0, seconds: 0};
    for (const tally of this.tallies) {
      sum.finished += tally.finished;
      sum.pictures += tally.pictures;
      sum.decided += tally.decided;
      sum.seconds += tally.seconds;
    }
    return sum;
  }

  // The first unfinished person after `index`, going round; -1 where none is.
  unfinished(index) {
    const count = this.people.length;
    for (let step = 1; step <= count; step += 1) {
      const next = (index + step + count) % count;
      if (!this.tallies[next].finished) return next;
    }
    return -1;
  }

  // The line of decisions.jsonl for a picture.
  line(task) {
    const {decision, reasons, comment, seconds, at} = this.record(task);
    return {
      task_id: task.task_id, sample_id: task.sample_id, shown_sha256: task.shown_sha256,
      decision, reasons: [...reasons], comment, reviewer: this.batch.reviewer,
      seconds: Math.round(seconds * 10) / 10, round: this.people[this.taskOf.get(task.task_id).person].round || this.batch.round, at,
    };
  }

  lines() {
    return this.people.flatMap(({tasks}) => tasks)
      .filter((task) => this.record(task).decision).map((task) => this.line(task));
  }

  // What lines of a file would change here: [[task_id, record], …], and how many lines are of no use, by why.
  merge(lines) {
    const changes = new Map();
    const refused = {broken: 0, unknown: 0, stale: 0, reviewer: 0, older: 0};
    for (const line of lines) {
      const fault = this.fault(line, changes);
      if (fault) {
        refused[fault] += 1;
        continue;
      }
      const {decision, reasons, comment, seconds, at} = line;
      changes.set(line.task_id, {
        decision, reasons: (reasons || []).map(String), comment: String(comment || ""),
        seconds: Math.min(1e6, Math.max(0, Number(seconds) || 0)), at: moment(at),
      });
    }
    return {changes: [...changes], refused};
  }

  fault(line, changes) {
    if (!line || typeof line !== "object" || !DECISIONS.includes(line.decision)
      || !Array.isArray(line.reasons || [])) return "broken";
    const known = this.taskOf.get(line.task_id);
    if (!known) return "unknown";
    if (known.task.shown_sha256 !== line.shown_sha256) return "stale";
    if (line.reviewer !== this.batch.reviewer) return "reviewer";
    const here = changes.get(line.task_id) || this.records.get(line.task_id);
    const same = here && here.decision === line.decision && here.at === moment(line.at) && here.comment === line.comment;
    return here && here.decision && (same || Date.parse(here.at) > Date.parse(line.at)) ? "older" : null;
  }
}

// Seconds of attention: the time between two inputs counts up to a limit, then the person is taken to be away.
class Watch {
  constructor(now, limit = 30) {
    this.last = now;
    this.limit = limit;
    this.pending = 0;
  }

  tick(now) {
    this.pending += Math.min(this.limit, Math.max(0, (now - this.last) / 1000));
    this.last = now;
  }

  away(now) {
    this.last = now;
  }

  take() {
    const seconds = this.pending;
    this.pending = 0;
    return seconds;
  }
}
