// Show a node's details and its neighbours; draw the page anew when the status has changed.
const needs = JSON.parse(document.getElementById("needs").textContent);
const nodes = [...document.querySelectorAll(".node")];

function reach(name, next) {
  const seen = new Set([name]), stack = [name];
  while (stack.length) for (const other of next(stack.pop())) if (!seen.has(other)) { seen.add(other); stack.push(other); }
  return seen;
}

function choose(name) {
  const up = reach(name, n => needs[n] || []);
  const down = reach(name, n => Object.keys(needs).filter(m => needs[m].includes(n)));
  const kept = n => !name || up.has(n) || down.has(n);
  for (const node of nodes) {
    node.classList.toggle("dimmed", !kept(node.dataset.name));
    node.setAttribute("aria-pressed", node.dataset.name === name);
  }
  for (const edge of document.querySelectorAll(".edge")) {
    const { from, to } = edge.dataset;
    const along = (up.has(from) && up.has(to)) || (down.has(from) && down.has(to));
    edge.classList.toggle("dimmed", !!name && !along);
  }
  for (const detail of document.querySelectorAll(".detail")) detail.classList.toggle("shown", detail.dataset.name === name);
  history.replaceState(null, "", name ? "#" + encodeURIComponent(name) : location.pathname);
}

for (const node of nodes) {
  const toggle = () => choose(node.getAttribute("aria-pressed") === "true" ? "" : node.dataset.name);
  node.addEventListener("click", toggle);
  node.addEventListener("keydown", event => {
    if (event.key === "Enter" || event.key === " ") { event.preventDefault(); toggle(); }
  });
}
const asked = decodeURIComponent(location.hash.slice(1));
if (asked in needs) choose(asked);

setInterval(async () => {
  if (document.hidden) return;
  try {
    const answer = await fetch("/api/status");
    if (answer.ok && (await answer.json()).mark !== document.body.dataset.mark) location.reload();
  } catch { /* the server is away; the page stays as it was */ }
}, 3000);
