// What is wrong, and what to do; what is empty, and why.
import type { ReactNode } from "react";
import type { Problem } from "../api/client";

export function Notice({ tone, children }: { tone: "bad" | "warn" | "info"; children: ReactNode }) {
  return <div className={"notice " + tone} role={tone === "bad" ? "alert" : "status"}>{children}</div>;
}

export function ErrorNotice({ error, retry }: { error: Problem; retry?: () => void }) {
  return (
    <Notice tone="bad">
      <div className="grow">
        <b>{error.title}</b>
        <p className="foreign">{error.message}</p>
      </div>
      {retry && <button className="button small" onClick={retry}>Try again</button>}
    </Notice>
  );
}

export function Empty({ title, children }: { title: string; children?: ReactNode }) {
  return <div className="empty"><h2>{title}</h2>{children}</div>;
}

/** Lines in grey where text will be, so that nothing moves when it comes. */
export function Skeleton({ lines = 6 }: { lines?: number }) {
  return (
    <div className="stack skeletons" aria-hidden="true">
      {Array.from({ length: lines }, (_, i) => <div key={i} className={`skeleton w${(i * 7) % 4}`} />)}
    </div>
  );
}
