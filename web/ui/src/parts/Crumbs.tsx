// Puts a page's name into the top bar and the window's title.
import { useEffect, useState, type ReactNode } from "react";
import { createPortal } from "react-dom";

export function Crumbs({ title, children }: { title: string; children?: ReactNode }) {
  const [place, setPlace] = useState<HTMLElement | null>(null);
  useEffect(() => setPlace(document.getElementById("crumbs")), []);
  useEffect(() => { document.title = `${title} · Tachograph`; }, [title]);
  return place ? createPortal(children, place) : null;
}
