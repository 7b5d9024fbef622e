// What stands around the grid: the person, the picture in focus, progress and messages.

class Panel {
  constructor(batch, expired) {
    this.batch = batch;
    this.expired = expired;
    $("batch-name").textContent = batch.batch;
    $("mark").textContent = `Do not redistribute${batch.expires ? ` · until ${batch.expires}` : ""}`;
    $("more").hidden = batch.blind; // a blind batch has neither scores nor suggestions
    this.reasons = batch.reasons.map(([key, name, label]) => {
      const button = make("button", "reason");
      button.type = "button";
      button.dataset.reason = name;
      button.append(label, " ", make("kbd", "", key.toUpperCase()));
      return button;
    });
    $("reasons").append(...this.reasons);
    this.dots = Array.from({length: batch.most}, (_, n) => make("i", n < batch.least ? "wanted" : ""));
    $("dots").append(...this.dots);
  }

  person(person, index, totals) {
    $("name").textContent = called(person);
    const facts = [person.name ? person.identity : null, person.gender, person.nationality].filter(Boolean);
    $("facts").textContent = facts.join(" · ");
    $("place").textContent = `Person ${index + 1}${totals.left === null ? ` of ${totals.people}` : ""}`;
  }

  kept(tally) {
    const {least, most} = this.batch;
    this.dots.forEach((dot, n) => dot.classList.toggle("on", n < tally.kept));
    $("kept-text").textContent = `${tally.kept} kept, ${least}–${most} wanted`;
    $("kept").className = tally.tooMany ? "bad" : tally.kept >= least ? "good" : "";
  }

  // How much is done, the pace, and the time that is left at this pace. `left`: people still in a shared queue.
  progress({people, finished, pictures, decided, seconds, left}) {
    const bar = $("bar");
    const all = people + (left || 0);
    bar.setAttribute("aria-valuemax", all);
    bar.setAttribute("aria-valuenow", finished);
    const share = left === null ? decided / Math.max(1, pictures) : finished / Math.max(1, all);
    bar.firstElementChild.style.setProperty("width", `${100 * share}%`);
    const pace = decided >= 10 && seconds > 0 ? seconds / decided : null;
    const open = left === null ? pictures - decided : (all - finished) * (pictures / Math.max(1, people));
    const parts = [
      `${finished.toLocaleString("en")} of ${plural(all, "person", "people")}`,
      ...(left === null ? [`${decided.toLocaleString("en")} of ${plural(pictures, "picture")}`] : []),
      ...(pace ? [`${pace.toFixed(1)} s each`] : []),
      ...(pace && open ? [`${duration(pace * open)} left`] : []),
    ];
    $("figures").replaceChildren(...parts.map((part) => make("span", "", part)));
  }

  picture(task, place, record, suggestions, target) {
    point($("white"), task.white, this.expired);
    point($("original"), task.original, this.expired);
    $("white").alt = `Picture ${place + 1}, whitened; enlarge`;
    $("original").alt = `Picture ${place + 1}, original; enlarge`;
    const suggested = suggestions && task.suggested ? `suggested: ${task.suggested}` : "";
    const verdict = $("verdict");
    verdict.dataset.decision = record.decision || "";
    verdict.replaceChildren(make("b", "", `Picture ${place + 1}`),
      make("span", "", record.decision ? WORDS[record.decision] : "Undecided"), make("small", "", suggested));
    const comment = $("comment");
    if (comment.value !== record.comment) comment.value = record.comment;
    const rows = task.scores.flatMap(([label, value]) => [make("dt", "", label), make("dd", "", value)]);
    if (task.source) rows.push(make("dt", "", "source"), make("dd", "wide", task.source));
    $("scores").replaceChildren(...rows);
    this.why(target);
  }

  // `target`: {place, record} of the picture whose reasons the keys set, or null.
  why(target) {
    $("reasons").disabled = !target;
    $("reasons-title").textContent = target ? `Why not picture ${target.place + 1}?` : "Reasons, after a reject";
    for (const button of this.reasons) {
      button.setAttribute("aria-pressed", String(Boolean(target && target.record.reasons.includes(button.dataset.reason))));
    }
  }

  say(text) {
    $("status").textContent = text;
  }

  // A lasting warning; an empty text takes it away.
  alert(name, text, action = null) {
    const old = $("alerts").querySelector(`[data-alert="${name}"]`);
    if (old && old.firstChild.textContent === text) return;
    if (old) old.remove();
    if (!text) return;
    const line = make("p");
    line.dataset.alert = name;
    line.append(make("span", "", text));
    if (action) {
      const button = make("button", "", action[0]);
      button.type = "button";
      button.dataset.action = action[1];
      line.append(button);
    }
    $("alerts").append(line);
  }

  // `text`: what is to be done now; `sure`: nobody else can be waiting.
  finish(state, text, sure) {
    const totals = state.totals();
    const few = state.people.filter((_, n) => state.tallies[n].kept < this.batch.least);
    const done = sure && totals.finished === totals.people;
    const kept = state.tallies.reduce((sum, tally) => sum + tally.keep, 0);
    $("finished-title").textContent = done ? "All done. Thank you." : "Not all is decided yet.";
    $("finished-text").textContent = text;
    const figures = [plural(totals.finished, "person", "people"), plural(totals.decided, "picture"), `${kept.toLocaleString("en")} kept`,
      ...(totals.seconds > 0 ? [`${duration(totals.seconds)} of work`] : [])];
    $("finished-figures").replaceChildren(...figures.map((text) => make("li", "", text)));
    $("few").hidden = few.length === 0;
    $("few").firstElementChild.textContent = `${plural(few.length, "person", "people")} with fewer than ${this.batch.least} kept: they will be left out`;
    $("few").lastElementChild.replaceChildren(...few.map((person) => make("li", "", called(person))));
  }
}

function duration(seconds) {
  const minutes = Math.round(seconds / 60);
  if (seconds < 90) return `${Math.max(1, Math.round(seconds))} s`;
  return minutes < 90 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, "0")} min`;
}
