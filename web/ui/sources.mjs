// Says of which sources dist/ was built: a listing as sha256sum writes it, in dist/sources.sha256. The Go
// test in ui_test.go compares it with the files, so that a change without a build does not land.
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, relative, sep } from "node:path";
import { fileURLToPath } from "node:url";

const here = new URL(".", import.meta.url);
const named = ["index.html", "package.json", "package-lock.json", "tsconfig.json", "vite.config.ts", "sources.mjs"];
const below = ["public", "src"];

function listing() {
  const files = [...named];
  for (const folder of below) {
    for (const entry of readdirSync(new URL(folder + "/", here), { recursive: true, withFileTypes: true })) {
      if (entry.isFile() && !/\.test\.tsx?$/.test(entry.name)) files.push(relative(fileURLToPath(here), join(entry.parentPath, entry.name)).split(sep).join("/"));
    }
  }
  files.sort((a, b) => (a < b ? -1 : 1));
  return files.map((f) => createHash("sha256").update(readFileSync(new URL(f, here))).digest("hex") + "  " + f + "\n").join("");
}

const target = new URL("dist/sources.sha256", here);
if (process.argv[2] === "write") writeFileSync(target, listing());
else if (readFileSync(target, "utf8") !== listing()) {
  console.error("dist/ was built of other sources: run `npm ci && npm run build` in web/ui");
  process.exit(1);
}
