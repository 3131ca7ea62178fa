// What is round every page: the way home, whether what is shown is live, the theme, the keys.
import { useState, useSyncExternalStore, type ReactNode } from "react";
import { Link } from "react-router";
import { getAbout, signOut } from "../api/client";
import { useConnection } from "../api/live";
import { useResource } from "../api/resource";
import { useTokenWanted } from "../api/session";
import { Dialog } from "./Dialog";
import { Line } from "./Foreign";
import { useKeys } from "./keys";

export function Shell({ children }: { children: ReactNode }) {
  const [help, setHelp] = useState(false);
  useKeys({ "?": () => setHelp(true) });
  return (
    <div className="shell">
      <a className="button skip" href="#main">Skip to content</a>
      <header className="topbar">
        <Link to="/runs" className="brand"><img src="/icon.svg" alt="" /> Tachograph</Link>
        <div id="crumbs" className="crumbs grow" />
        <Following />
        <SignedIn />
        <ThemeSwitch />
        <button className="button plain" onClick={() => setHelp(true)} aria-label="Keys">?</button>
      </header>
      <main className="main" id="main" tabIndex={-1}>{children}</main>
      {help && <KeyHelp onClose={() => setHelp(false)} />}
    </div>
  );
}

function Following() {
  const connection = useConnection();
  if (connection === "none") return <span className="following" />;
  const lost = connection === "lost";
  return (
    <span className={"row following " + (lost ? "warn" : "quiet")} role="status" title={lost ? "The connection is lost; the page tries again by itself" : "What happens is shown as it happens"}>
      <i className={"dot " + (lost ? "" : "good")} />{lost ? "reconnecting" : "live"}
    </span>
  );
}

/** Who the token says that this is, and the way out; nothing where no token is needed. */
function SignedIn() {
  const wanted = useTokenWanted();
  const about = useResource(wanted ? null : "about", getAbout, true).data;
  if (!about?.role) return null;
  const leave = () => { void signOut().finally(() => location.reload()); };
  return (
    <span className="row quiet">
      <span title={`The token's role: ${about.role}`}><Line text={about.person ?? ""} most={64} /> · {about.role}</span>
      <button className="button plain" onClick={leave}>Sign out</button>
    </span>
  );
}

type Theme = "system" | "light" | "dark";
/** In the order in which a press goes through them. */
const THEMES: [Theme, string, string][] = [["system", "as the system", "◐"], ["light", "light", "○"], ["dark", "dark", "●"]];
const themeWatchers = new Set<() => void>();

function theme(): Theme {
  const set = document.documentElement.dataset["theme"];
  return set === "light" || set === "dark" ? set : "system";
}

export function useTheme(): Theme {
  return useSyncExternalStore((listener) => { themeWatchers.add(listener); return () => themeWatchers.delete(listener); }, theme);
}

function choose(next: Theme): void {
  if (next === "system") delete document.documentElement.dataset["theme"];
  else document.documentElement.dataset["theme"] = next;
  try {
    if (next === "system") localStorage.removeItem("tacho.theme");
    else localStorage.setItem("tacho.theme", next);
  } catch {
    // Storage may be forbidden: the choice then holds for this page only.
  }
  for (const watcher of themeWatchers) watcher();
}

function ThemeSwitch() {
  const current = useTheme();
  const at = THEMES.findIndex(([name]) => name === current);
  const [, word, sign] = THEMES[at] ?? THEMES[0]!;
  const [next, nextWord] = THEMES[(at + 1) % THEMES.length] ?? THEMES[0]!;
  return (
    <button className="button plain theme" aria-label={`Theme: ${word}. Change to ${nextWord}`} title={`Theme: ${word}. Change to ${nextWord}`} onClick={() => choose(next)}>
      <span aria-hidden="true">{sign}</span>
    </button>
  );
}

const KEYS: [string, string][] = [
  ["/", "search"], ["j  k", "next, previous"], ["Enter", "open what is chosen"], ["1 … 4", "transcript, timeline, state, audit"],
  ["s", "state after the chosen step"], ["f", "fork from the chosen step"], ["r", "fork with another result of the chosen call"],
  ["p", "pause, resume"], ["x", "stop (asks first)"], ["a", "to the call that waits for you"], ["← →", "one entry back, forward (state)"],
  ["+  −  0", "zoom in, out, all (timeline)"], ["u", "up: to the list of runs"], ["?", "this"],
];

function KeyHelp({ onClose }: { onClose: () => void }) {
  return (
    <Dialog title="Keys" onClose={onClose}>
      <form method="dialog">
        <h2>Keys</h2>
        <dl className="keys">{KEYS.map(([key, what]) => <div key={key} className="keyrow"><dt><kbd>{key}</kbd></dt><dd>{what}</dd></div>)}</dl>
        <div className="actions"><button className="button">Close</button></div>
      </form>
    </Dialog>
  );
}
