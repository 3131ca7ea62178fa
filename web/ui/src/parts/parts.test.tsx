// @vitest-environment jsdom
import { act, type ReactNode } from "react";
import { createRoot } from "react-dom/client";
import { afterEach, beforeAll, expect, test, vi } from "vitest";
import { Problem } from "../api/client";
import { forgetAll, useResource } from "../api/resource";
import { DiffView } from "./DiffView";
import { Foreign, Line } from "./Foreign";
import { useKeys } from "./keys";
import { Effect, Meter, Money, RunStatus } from "./Marks";
import { TextBlock } from "./TextBlock";

beforeAll(() => { Object.assign(globalThis, { IS_REACT_ACT_ENVIRONMENT: true }); });

const left: (() => void)[] = [];
afterEach(() => {
  act(() => { for (const leave of left.splice(0)) leave(); });
  vi.unstubAllGlobals();
  forgetAll();
});

function show(what: ReactNode): HTMLElement {
  const box = document.createElement("div");
  document.body.append(box);
  const root = createRoot(box);
  act(() => root.render(what));
  left.push(() => { root.unmount(); box.remove(); });
  return box;
}

const click = (el: Element | null | undefined) => act(async () => { el?.dispatchEvent(new MouseEvent("click", { bubbles: true })); await Promise.resolve(); });
const button = (box: HTMLElement, word: string) => [...box.querySelectorAll("button")].find((b) => b.textContent?.includes(word));

test("markup in text stays text", () => {
  const box = show(<Foreign text={'<img src=x onerror="alert(1)"><script>alert(2)</script>'} />);
  expect(box.querySelector("img, script")).toBeNull();
  expect(box.textContent).toContain("<script>alert(2)</script>");
});

test("what reorders text is seen, named and isolated", () => {
  const box = show(<><Foreign text={"a\u202eb"} /><Line text={"c\u202ed"} /></>);
  expect(box.querySelector(".charmark")?.textContent).toBe("U+202E");
  expect(box.querySelector(".charmark")?.getAttribute("title")).toContain("right-to-left override");
  expect(box.querySelector("bdi")?.textContent).toBe("c·d");
  expect(box.textContent).not.toContain("\u202e");
});

test("a long text shows its beginning, says so, and reads on in pieces", async () => {
  const asked: string[] = [];
  vi.stubGlobal("fetch", (url: string) => {
    asked.push(url);
    const second = url.includes("offset=65536");
    return Promise.resolve(new Response(second ? "END" : "y".repeat(65_536), { headers: { "Content-Type": "text/plain; charset=utf-8", "X-Total-Bytes": "65539", ...(second ? {} : { "X-Next-Offset": "65536" }) } }));
  });
  const box = show(<TextBlock run="r" text={{ text: "y".repeat(4096), size: 65_539, cut: true, ref: "sha256:0", part: "content" }} lines={3} chars={100} />);
  expect(box.querySelector("pre")?.textContent?.length).toBe(100);
  expect(box.textContent).toContain("beginning of 64.0 KiB");
  await click(button(box, "Show more"));
  await vi.waitFor(() => expect(box.querySelector("pre")?.textContent?.length).toBe(65_536), { timeout: 60_000 });
  expect(box.textContent).toContain("64.0 KiB of 64.0 KiB shown");
  await click(button(box, "more"));
  await vi.waitFor(() => expect(box.querySelector("pre")?.textContent?.endsWith("END")).toBe(true), { timeout: 60_000 });
  expect(asked).toEqual(["/api/runs/r/content/sha256%3A0?part=content&offset=0&limit=65536", "/api/runs/r/content/sha256%3A0?part=content&offset=65536&limit=65536"]);
  expect(box.textContent).toContain("all 64.0 KiB");
});

test("what cannot be read any more says why", () => {
  expect(show(<TextBlock run="r" text={{ text: "", size: 9, cut: false, lost: "erased" }} />).textContent).toContain("Erased on request");
  expect(show(<TextBlock run="r" text={{ text: "", size: 9, cut: false, lost: "damaged" }} />).textContent).toContain("Verify the run");
});

test("an error in reading on is shown", async () => {
  vi.stubGlobal("fetch", () => Promise.resolve(new Response(JSON.stringify({ kind: "erased", title: "Gone", detail: "It was erased.", status: 410, type: "x" }), { status: 410, headers: { "Content-Type": "application/problem+json" } })));
  const box = show(<TextBlock run="r" text={{ text: "abc", size: 9000, cut: true, ref: "sha256:0" }} />);
  await click(button(box, "Show more"));
  await vi.waitFor(() => expect(box.querySelector("[role=alert]")?.textContent).toContain("It was erased."), { timeout: 60_000 });
});

test("a diff shows files, numbers and hostile lines as text", () => {
  const box = show(<DiffView patch={"diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-<b>old</b>\n+" + "z".repeat(5000) + "\n"} truncated={true} />);
  expect(box.querySelector("b")).toBeNull();
  expect([...box.querySelectorAll(".diffline.del code")].map((c) => c.textContent)).toEqual(["<b>old</b>"]);
  expect(box.querySelector(".diffline.add code")?.textContent).toContain("3\u202f000 more characters");
  expect(box.textContent).toContain("cut here");
});

test("marks say in words what their colour says", () => {
  expect(show(<RunStatus status="held" />).textContent).toBe("waits for you");
  expect(show(<Effect effect="delete" scope="external" />).textContent).toBe("delete · external");
  expect(show(<Money cost={{ known: "unknown" }} />).textContent).toBe("unknown");
  expect(show(<Money cost={{ known: "at_least", usd: "1.5" }} />).textContent).toBe("≥ $1.50");
  const meter = show(<Meter label="Steps" used={9} limit={10} show={String} />).querySelector("[role=meter]");
  expect([meter?.getAttribute("aria-valuenow"), meter?.className]).toEqual(["9", "meter warn"]);
});

test("keys are for the view, not for a field, a dialog or a modifier", () => {
  let pressed = 0;
  function Keys() {
    useKeys({ j: () => { pressed++; } });
    return <input id="field" />;
  }
  const box = show(<Keys />);
  const press = (el: Element, init: KeyboardEventInit) => el.dispatchEvent(new KeyboardEvent("keydown", { bubbles: true, cancelable: true, ...init }));
  press(document.body, { key: "j" });
  expect(pressed).toBe(1);
  press(box.querySelector("#field") ?? box, { key: "j" });
  press(document.body, { key: "j", ctrlKey: true });
  const dialog = document.createElement("dialog");
  dialog.setAttribute("open", "");
  box.append(dialog);
  press(document.body, { key: "j" });
  expect(pressed).toBe(1);
});

test("a key works from the moment that its view is in the document", async () => {
  const box = document.createElement("div");
  document.body.append(box);
  const root = createRoot(box);
  left.push(() => { root.unmount(); box.remove(); });
  let pressed = 0;
  function Keys() {
    useKeys({ j: () => { pressed++; } });
    return <p>a view</p>;
  }
  const shown = new Promise<void>((resolve) => { new MutationObserver(() => resolve()).observe(box, { childList: true }); });
  vi.stubGlobal("IS_REACT_ACT_ENVIRONMENT", false); // drawn as a browser draws, with what React leaves for later still to come
  root.render(<Keys />);
  await shown;
  document.body.dispatchEvent(new KeyboardEvent("keydown", { key: "j", bubbles: true, cancelable: true }));
  expect(pressed).toBe(1);
});

test("a resource is asked for once, kept, and left when nobody waits", async () => {
  const waits: { signal: AbortSignal; answer: (v: string) => void }[] = [];
  const load = (signal: AbortSignal) => new Promise<string>((answer) => waits.push({ signal, answer }));
  function Shows({ name }: { name: string }) {
    const got = useResource("k/" + name, load, true);
    return <p>{got.data ?? (got.loading ? "…" : "nothing")}</p>;
  }
  const box = show(<><Shows name="a" /><Shows name="a" /></>);
  expect(waits).toHaveLength(1);
  await act(async () => { waits[0]?.answer("here"); await Promise.resolve(); });
  expect(box.textContent).toBe("herehere");
  expect(show(<Shows name="a" />).textContent).toBe("here");
  expect(waits).toHaveLength(1);
  show(<Shows name="b" />);
  act(() => left.pop()?.());
  expect(waits[1]?.signal.aborted).toBe(true);
});

test("a failed resource has a problem and can be tried again", async () => {
  let times = 0;
  const load = () => (times++ === 0 ? Promise.reject(new Problem("internal", 500, "Error", "It broke.")) : Promise.resolve("fine"));
  function Shows() {
    const got = useResource("k", load);
    return <button onClick={got.reload}>{got.error?.message ?? got.data}</button>;
  }
  const box = show(<Shows />);
  await vi.waitFor(() => expect(box.textContent).toBe("It broke."), { timeout: 60_000 });
  await click(box.querySelector("button"));
  await vi.waitFor(() => expect(box.textContent).toBe("fine"), { timeout: 60_000 });
});
