// One home for how a status looks: its word and its tone. The word always stands beside the colour.

export type Tone = "good" | "bad" | "warn" | "info" | "none";

export interface Look {
  word: string;
  tone: Tone;
  /** Something is happening now. */
  live: boolean;
}

/** A run's status in the contract's words, and why it is paused. */
export function runLook(status: string, why = ""): Look {
  switch (status) {
    case "running":
      return { word: "running", tone: "info", live: true };
    case "held":
      return { word: "waits for you", tone: "warn", live: false };
    case "paused":
      return { word: why && why !== "asked" ? `paused: ${why}` : "paused", tone: "warn", live: false };
    case "done":
      return { word: "done", tone: "good", live: false };
    case "failed":
      return { word: "failed", tone: "bad", live: false };
    case "stopped":
      return { word: "stopped", tone: "warn", live: false };
  }
  return { word: status || "unknown", tone: "none", live: false };
}

/** Whether nothing more happens in a run of this status. */
export function hasEnded(status: string): boolean {
  return status === "done" || status === "failed" || status === "stopped";
}

export function callTone(status: string): Tone {
  switch (status) {
    case "ok":
      return "good";
    case "held":
    case "given":
    case "skipped":
    case "expired":
    case "dropped":
      return "warn";
    case "proposed":
    case "allowed":
    case "started":
    case "running":
      return "info";
    case "":
      return "none";
  }
  return "bad"; // error, timeout, killed, denied, refused
}

export function decisionTone(decision: string): Tone {
  return decision === "allow" ? "good" : decision === "hold" ? "warn" : decision === "deny" ? "bad" : "none";
}

/** How far a call reaches and what it does: what leaves the workspace, or deletes, stands out. */
export function effectTone(effect: string, scope: string): Tone {
  if (effect === "none" || effect === "read") return scope === "external" ? "warn" : "none";
  if (scope === "external" || scope === "machine") return "bad";
  return effect === "delete" ? "warn" : "none";
}

/** Whether a verification may be called good. */
export function verdictLook(verdict: string): Look {
  if (verdict === "verified") return { word: "verified", tone: "good", live: false };
  if (verdict === "unsigned") return { word: "consistent, signer unknown", tone: "warn", live: false };
  if (verdict === "failed") return { word: "verification failed", tone: "bad", live: false };
  return { word: "not verified yet", tone: "none", live: false };
}
