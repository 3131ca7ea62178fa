// Runs before the first paint, so that a chosen theme never flashes. The policy forbids inline
// scripts, hence a file of its own.
try {
  const chosen = localStorage.getItem("tacho.theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
} catch {
  // Storage may be forbidden; the system's theme is used then.
}
