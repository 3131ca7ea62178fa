import react from "@vitejs/plugin-react";
import { loadEnv } from "vite";
import { defineConfig } from "vitest/config";

// dist/ is committed and rebuilt byte for byte in CI. So: names without hashes (the server sends an
// ETag), nothing inlined (the server's policy allows scripts and styles from 'self' only), no maps.
export default defineConfig(({ mode }) => {
  const server = loadEnv(mode, ".", "TACHO")["TACHO_SERVER"] ?? "http://127.0.0.1:7080";
  return {
  plugins: [react()],
  build: {
    target: ["chrome123", "firefox121", "safari17.5"], // light-dark(), which theme.css rests on
    assetsInlineLimit: 0,
    cssCodeSplit: false,
    modulePreload: { polyfill: false },
    sourcemap: false,
    chunkSizeWarningLimit: 700,
    rollupOptions: {
      output: {
        entryFileNames: "assets/app.js",
        chunkFileNames: "assets/[name].js",
        assetFileNames: "assets/[name][extname]",
      },
    },
  },
  // `npm run dev` shows a server that runs beside it: TACHO_SERVER=http://127.0.0.1:7080 npm run dev
    server: { proxy: { "/api": server, "/v1": server } },
    test: { environment: "node", include: ["src/**/*.test.{ts,tsx}"], testTimeout: 60_000 },
  };
});
