// Whitened and original side by side, enlarged together and moved together.

const LEVELS = [1, 1.5, 2, 3, 4, 6];

class Zoom {
  constructor(expired) {
    this.expired = expired;
    this.dialog = $("zoom");
    this.images = [$("zoom-white"), $("zoom-original")];
    this.level = 0;
    this.at = {x: 0, y: 0}; // shift of the centre, share of the lens
    for (const lens of this.dialog.querySelectorAll(".lens")) this.listen(lens);
  }

  get open() {
    return this.dialog.open;
  }

  show(task, place, record) {
    point(this.images[0], task.white, this.expired);
    point(this.images[1], task.original, this.expired);
    const word = record.decision ? WORDS[record.decision] : "undecided";
    $("zoom-title").textContent = `Picture ${place + 1}: ${word.toLowerCase()}`;
    $("zoom-title").dataset.decision = record.decision || "";
    if (!this.dialog.open) {
      this.level = 0;
      this.at = {x: 0, y: 0};
      this.dialog.showModal();
      this.dialog.focus(); // not its first button: Enter and space are to mean the picture
    }
    this.draw();
  }

  step(by) {
    this.level = Math.max(0, Math.min(LEVELS.length - 1, this.level + by));
    this.draw();
  }

  draw() {
    const scale = LEVELS[this.level];
    const edge = (scale - 1) / 2;
    this.at.x = Math.max(-edge, Math.min(edge, this.at.x));
    this.at.y = Math.max(-edge, Math.min(edge, this.at.y));
    for (const image of this.images) {
      image.style.setProperty("transform", `translate(${100 * this.at.x}%, ${100 * this.at.y}%) scale(${scale})`);
    }
    $("zoom-level").textContent = `${scale}×`;
  }

  listen(lens) {
    let from = null;
    lens.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.step(event.deltaY < 0 ? 1 : -1);
    }, {passive: false});
    lens.addEventListener("pointerdown", (event) => {
      from = {x: event.clientX, y: event.clientY, moved: false};
      lens.setPointerCapture(event.pointerId);
    });
    lens.addEventListener("pointermove", (event) => {
      if (!from) return;
      const [dx, dy] = [event.clientX - from.x, event.clientY - from.y];
      if (!from.moved && Math.hypot(dx, dy) < 6) return; // a tap, so far
      this.at.x += dx / lens.clientWidth;
      this.at.y += dy / lens.clientHeight;
      from = {x: event.clientX, y: event.clientY, moved: true};
      this.draw();
    });
    lens.addEventListener("pointerup", () => {
      if (from && !from.moved) {
        this.level = this.level ? 0 : 2;
        this.draw();
      }
      from = null;
    });
    lens.addEventListener("pointercancel", () => { from = null; });
  }
}
