// Makes the fork that a form asks for, and goes to it.
import { useState, type ReactNode } from "react";
import { useNavigate } from "react-router";
import { forkRun, Problem } from "../api/client";
import type { ForkRequest } from "../api/words";
import { ErrorNotice } from "../parts/Notice";

export type Request = () => ForkRequest | { wrong: string };

export function Submit({ id, request }: { id: string; request: Request }) {
  const [resume, setResume] = useState(true);
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<Problem>();
  const [wrong, setWrong] = useState("");
  const navigate = useNavigate();
  const go = async () => {
    const r = request();
    if ("wrong" in r) return setWrong(r.wrong);
    setWrong("");
    setBusy(true);
    setError(undefined);
    try {
      const made = await forkRun(id, { ...r, resume });
      await navigate(`/runs/${made.run_id}/transcript`, { state: { warning: made.warning } });
      return;
    } catch (cause) {
      setError(cause instanceof Problem ? cause : new Problem("internal", 0, "Error in this page", String(cause)));
    }
    setBusy(false);
  };
  return (
    <>
      {wrong && <p className="notice bad" role="alert">{wrong}</p>}
      {error && <ErrorNotice error={error} />}
      <div className="row actions">
        <label className="row"><input type="checkbox" checked={resume} onChange={(e) => setResume(e.target.checked)} /> Run it at once</label>
        <button className="button primary" disabled={busy} onClick={() => void go()}>{busy ? "Forking…" : resume ? "Fork and run" : "Fork, paused"}</button>
      </div>
    </>
  );
}

export function Field({ label, children }: { label: string; children: ReactNode }) {
  return <label className="formfield"><span className="label">{label}</span>{children}</label>;
}
