// What stands in place of every page while the server wants a token of this browser.
import { useState, type FormEvent } from "react";
import { signIn, type Problem } from "../api/client";
import { ErrorNotice } from "../parts/Notice";

export function SignIn() {
  const [token, setToken] = useState("");
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<Problem>();
  const submit = (e: FormEvent) => {
    e.preventDefault();
    setBusy(true);
    signIn(token.trim()).then(
      () => location.reload(), // everything that is kept was refused
      (cause: Problem) => { setError(cause); setBusy(false); },
    );
  };
  return (
    <form className="signin panel stack" onSubmit={submit}>
      <h1>Who asks?</h1>
      <p className="quiet">This server is reached from other machines, so it wants a token. Whoever runs it makes one there: <code>tacho token add NAME --role viewer</code></p>
      <label className="formfield">
        <span>Token</span>
        <input className="field mono" type="password" name="token" autoComplete="current-password" spellCheck={false} required maxLength={200} autoFocus value={token} onChange={(e) => setToken(e.target.value)} placeholder="tacho_…" />
      </label>
      {error && <ErrorNotice error={error} />}
      <div className="actions"><button className="button primary" disabled={busy || token.trim() === ""}>{busy ? "Asking…" : "Sign in"}</button></div>
    </form>
  );
}
