// Talks to `review-serve`, where the page comes from there: people are lent to one reviewer at a time, and decisions
// go to disk. What has not arrived waits in the browser's storage and is sent again.

const SEND_AFTER = 700; // ms of quiet
const RETRY_AFTER = 4000; // ms
const RENEW_EVERY = 60000; // ms; the server lends for several times as long

class Server {
  // `told`: {gone(away, why, unsent), lost(names)}, called when something changes.
  constructor(state, store, told) {
    Object.assign(this, {state, store, told, timer: 0, away: false, busy: false, left: null});
    // Whole lines, not names of tasks: their person may be somebody else's by the time they can be sent.
    this.unsent = new Map([store.read("unsent", JSON.parse)].flat().filter(Boolean).map((line) => [line.task_id, line]));
    setInterval(() => { if (!document.hidden) this.send(); }, RENEW_EVERY);
    if (this.unsent.size) this.later(0);
  }

  changed(ids) {
    for (const id of ids) this.unsent.set(id, this.line(id));
    this.note();
    this.later(SEND_AFTER);
  }

  note() {
    this.store.set("unsent", JSON.stringify([...this.unsent.values()]));
  }

  later(delay) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.send(), delay);
  }

  // What a decision taken back looks like on disk, where lines are only ever added.
  line(id) {
    const {task} = this.state.taskOf.get(id);
    const line = this.state.line(task);
    return line.decision ? line : {...line, decision: "unsure", reasons: ["withdrawn"], at: new Date().toISOString()};
  }

  async post(path, body, options = {}) {
    const answer = await fetch(path, {
      method: "POST", headers: {"Content-Type": "application/json", "X-Review": "1"}, body: JSON.stringify(body),
      credentials: "same-origin", cache: "no-store", ...options,
    });
    if (!answer.ok) throw Object.assign(new Error((await answer.text()).slice(0, 300)), {status: answer.status});
    return answer.json();
  }

  async send(options = {}) {
    if (this.busy) return this.later(SEND_AFTER);
    this.busy = true;
    const lines = [...this.unsent.values()].slice(0, 200);
    try {
      const {lost, left} = await this.post("api/save", {lines}, options);
      this.left = left;
      // What was changed while the letter was on its way is another line, and stays.
      lines.filter((line) => this.unsent.get(line.task_id) === line).forEach((line) => this.unsent.delete(line.task_id));
      this.note();
      this.reached(true);
      if (lost.length) this.told.lost(lost);
      if (this.unsent.size) this.later(0);
    } catch (error) {
      this.reached(false, error);
      this.later(RETRY_AFTER);
    } finally {
      this.busy = false;
    }
    return null;
  }

  reached(here, error = null) {
    if (here && !this.away) return;
    this.away = !here;
    this.told.gone(this.away, error && error.status ? error.message : "", this.unsent.size);
  }

  // The next free person: {person, left, lent}; person is null where the queue is empty or all are lent.
  async take() {
    await this.send(); // whom this reviewer has just finished must not count as held
    try {
      const answer = await this.post("api/take", {});
      this.left = answer.left;
      this.reached(true);
      return answer;
    } catch (error) {
      this.reached(false, error);
      this.later(RETRY_AFTER);
      return null;
    }
  }
}
