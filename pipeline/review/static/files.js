// Decisions out to one file, and back in from one.

function download(name, lines) {
  const text = lines.map((line) => `${JSON.stringify(line)}\n`).join("");
  const address = URL.createObjectURL(new Blob([text], {type: "application/x-ndjson"}));
  const link = make("a");
  link.href = address;
  link.download = name.replace(/[^A-Za-z0-9._-]/g, "_") + ".jsonl";
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(address), 60000);
}

// The objects of a JSONL text; null for a line that is none.
function parseLines(text) {
  return text.split("\n").map((line) => line.trim()).filter(Boolean).map((line) => {
    try {
      return JSON.parse(line);
    } catch {
      return null;
    }
  });
}

// What to tell a person about lines that were not taken.
function refusal(refused, reviewer) {
  const words = {
    broken: ["is broken", "are broken"],
    unknown: ["is about a picture of another batch", "are about pictures of another batch"],
    stale: ["is about an earlier version of its picture", "are about earlier versions of their pictures"],
    reviewer: [`is not by ${reviewer}`, `are not by ${reviewer}`],
    older: ["brings nothing newer", "bring nothing newer"],
  };
  return Object.entries(refused).filter(([, count]) => count)
    .map(([why, count]) => `${plural(count, "line")} ${words[why][count === 1 ? 0 : 1]}`).join("; ");
}
