//go:build linux

package browser

// contrast finds text whose contrast with what is behind it is below what WCAG 2.2 AA asks for (1.4.3):
// 4.5 : 1, or 3 : 1 where it is large. It looks at each element with text of its own that is seen, mixes
// the backgrounds of its ancestors and their opacities, and leaves out what is disabled, as the rule does.
const contrast = `(() => {
  const parse = (text) => {
    const n = (text.match(/-?[\d.]+(e-?\d+)?/g) ?? []).map(Number);
    if (text.startsWith("color(srgb")) return [n[0] * 255, n[1] * 255, n[2] * 255, n[3] ?? 1];
    return [n[0] ?? 0, n[1] ?? 0, n[2] ?? 0, n[3] ?? 1];
  };
  const over = (top, below) => {
    const a = top[3] + below[3] * (1 - top[3]);
    if (a === 0) return [0, 0, 0, 0];
    return [0, 1, 2].map((i) => (top[i] * top[3] + below[i] * below[3] * (1 - top[3])) / a).concat(a);
  };
  const luminance = (c) => {
    const [r, g, b] = c.map((v) => { v /= 255; return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    const chain = [];
    for (let e = element; e; e = e.parentElement) chain.push(e);
    let colour = parse(getComputedStyle(document.body).backgroundColor);
    if (colour[3] < 1) colour = over(colour, [255, 255, 255, 1]);
    for (const e of chain.reverse()) {
      const s = getComputedStyle(e);
      const c = parse(s.backgroundColor);
      colour = over([c[0], c[1], c[2], c[3] * Number(s.opacity)], colour);
    }
    return colour;
  };
  const found = [];
  for (const e of document.querySelectorAll("body *")) {
    if (![...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim() !== "")) continue;
    if (e.closest("[disabled], [aria-hidden=true], .hidden, .skip, noscript, option") || !e.checkVisibility({ opacityProperty: true, visibilityProperty: true })) continue;
    const r = e.getBoundingClientRect();
    if (r.width < 2 || r.height < 2) continue;
    const s = getComputedStyle(e);
    let opacity = 1;
    for (let a = e; a; a = a.parentElement) opacity *= Number(getComputedStyle(a).opacity);
    const ground = behind(e);
    const c = parse(s.color);
    const ink = over([c[0], c[1], c[2], c[3] * opacity], ground);
    const [x, y] = [luminance(ink), luminance(ground)];
    const ratio = (Math.max(x, y) + 0.05) / (Math.min(x, y) + 0.05);
    const size = parseFloat(s.fontSize), bold = Number(s.fontWeight) >= 700;
    if (ratio < (size >= 24 || (bold && size >= 18.66) ? 3 : 4.5))
      found.push(ratio.toFixed(2) + " : 1, " + e.tagName.toLowerCase() + "." + e.className + " " + JSON.stringify(e.textContent.trim().slice(0, 60)) + " " + s.color + " on " + ground.map(Math.round));
  }
  return [...new Set(found)];
})()`
