// Which address shows which page. /runs is the list; below /runs/ID a view of the run; ?… its state.
import { Component, type ReactNode } from "react";
import { Link, Navigate, Route, Routes, useLocation } from "react-router";
import { useTokenWanted } from "./api/session";
import { RunPage } from "./pages/Run";
import { RunsPage } from "./pages/Runs";
import { SignIn } from "./pages/SignIn";
import { Empty } from "./parts/Notice";
import { Shell } from "./parts/Shell";

export function App() {
  const { pathname } = useLocation();
  const wanted = useTokenWanted();
  if (wanted) return <Shell><SignIn /></Shell>;
  return (
    <Shell>
      <Boundary key={pathname.split("/")[2] ?? ""}>
        <Routes>
          <Route index element={<Navigate to="/runs" replace />} />
          <Route path="runs" element={<RunsPage />} />
          <Route path="runs/:id" element={<RunPage />} />
          <Route path="runs/:id/:view" element={<RunPage />} />
          <Route path="*" element={<NotFound />} />
        </Routes>
      </Boundary>
    </Shell>
  );
}

function NotFound() {
  return <Empty title="There is no such page"><p>Look at the <Link to="/runs">list of runs</Link>.</p></Empty>;
}

/** What goes wrong in one view must not take the page away. */
class Boundary extends Component<{ children: ReactNode }, { error: Error | null }> {
  override state: { error: Error | null } = { error: null };

  static getDerivedStateFromError(error: Error) {
    return { error };
  }

  override render() {
    if (!this.state.error) return this.props.children;
    return (
      <Empty title="This view has a fault">
        <p>The run is not affected. Reload the page; if it happens again, report this: <code className="foreign">{String(this.state.error.message)}</code></p>
        <button className="button" onClick={() => location.reload()}>Reload</button>
      </Empty>
    );
  }
}
