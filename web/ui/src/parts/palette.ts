// The theme's colours for a canvas, which knows no CSS. light-dark() is resolved only where a colour is
// used, so each one is put on an element and read back.
import { useEffect, useState } from "react";
import { useTheme } from "./Shell";

const ROLES = { text: "--text", quiet: "--text-quiet", faint: "--text-faint", line: "--line", strong: "--line-strong", surface: "--surface", accent: "--accent", agent: "--bar-agent", plan: "--bar-plan", chat: "--bar-chat", tool: "--bar-tool", other: "--bar-other", bad: "--bar-bad" } as const;

export type Palette = Record<keyof typeof ROLES, string> & { font: string };

function read(): Palette {
  const probe = document.createElement("span");
  document.body.append(probe);
  const out: Partial<Palette> = { font: `11px ${getComputedStyle(document.body).fontFamily}` };
  for (const [role, name] of Object.entries(ROLES) as [keyof typeof ROLES, string][]) {
    probe.style.color = `var(${name})`;
    out[role] = getComputedStyle(probe).color;
  }
  probe.remove();
  return out as Palette;
}

export function usePalette(): Palette {
  const theme = useTheme();
  const [palette, setPalette] = useState(read);
  useEffect(() => {
    const again = () => setPalette(read());
    again();
    const dark = matchMedia("(prefers-color-scheme: dark)");
    dark.addEventListener("change", again);
    return () => dark.removeEventListener("change", again);
  }, [theme]);
  return palette;
}
