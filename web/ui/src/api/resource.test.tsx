// @vitest-environment jsdom
import { act } from "react";
import { createRoot } from "react-dom/client";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Problem } from "./client";
import { forgetAll, useResource, useRetry } from "./resource";

beforeEach(() => { vi.useFakeTimers(); Object.assign(globalThis, { IS_REACT_ACT_ENVIRONMENT: true }); });
afterEach(() => { vi.useRealTimers(); forgetAll(); });

// A run that ended while the answer about it failed: nobody else asks again, and the page would call it
// running for ever.
test("what could not be read again is asked for until it can", async () => {
  const answers = ["running", new Problem("internal", 500, "Internal", "busy"), new Problem("internal", 500, "Internal", "busy"), "done"];
  const load = vi.fn(() => { const a = answers.shift(); return a instanceof Problem ? Promise.reject(a) : Promise.resolve(a); });
  let reload = () => {};
  function Header() {
    const got = useResource("run/1", load);
    useRetry(got.error, got.reload);
    reload = got.reload;
    return <>{got.data} {got.error?.message}</>;
  }
  const box = document.createElement("div");
  const root = createRoot(box);
  await act(async () => { root.render(<Header />); await Promise.resolve(); });
  expect(box.textContent).toBe("running ");
  await act(async () => { reload(); await Promise.resolve(); }); // the stream said: end
  expect(box.textContent).toBe("running busy");
  await act(() => vi.advanceTimersByTimeAsync(1000));
  expect(box.textContent).toBe("running busy");
  await act(() => vi.advanceTimersByTimeAsync(2000));
  expect(box.textContent).toBe("done ");
  await act(() => vi.advanceTimersByTimeAsync(600_000));
  expect(load).toHaveBeenCalledTimes(4);
  act(() => root.unmount());
});

// "This page goes on by itself", says the error.
test("while nobody answers, it is asked for until somebody does; other errors stay", async () => {
  const answers = [new Problem("unreachable", 0, "No answer", "away"), new Problem("unreachable", 0, "No answer", "away"), new Problem("internal", 500, "Internal", "broken")];
  const load = vi.fn(() => Promise.reject(answers.shift() as Problem));
  function View() {
    const got = useResource("view/1", load);
    return <>{got.error?.message}</>;
  }
  const box = document.createElement("div");
  const root = createRoot(box);
  await act(async () => { root.render(<View />); await Promise.resolve(); });
  expect(box.textContent).toBe("away");
  await act(() => vi.advanceTimersByTimeAsync(3000));
  expect(box.textContent).toBe("broken");
  await act(() => vi.advanceTimersByTimeAsync(600_000));
  expect(load).toHaveBeenCalledTimes(3);
  act(() => root.unmount());
});
