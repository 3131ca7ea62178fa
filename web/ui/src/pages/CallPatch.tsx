// What a call changed in the files, read when somebody looks.
import { getPatch } from "../api/client";
import { useResource } from "../api/resource";
import type { Call } from "../api/words";
import { DiffView } from "../parts/DiffView";
import { ErrorNotice, Skeleton } from "../parts/Notice";
import { useRun } from "./context";

export function CallPatch({ call }: { call: Call }) {
  const { id } = useRun();
  const range = { from: call.started_seq, to: call.ended_seq };
  const patch = useResource(`patch/${id}/${range.from}/${range.to}`, (signal) => getPatch(id, range, signal), true);
  if (patch.error) return <ErrorNotice error={patch.error} retry={patch.reload} />;
  if (!patch.data) return <Skeleton lines={4} />;
  return <div className="callpatch"><DiffView patch={patch.data.text} truncated={patch.data.cut} /></div>;
}
