// How the console is bundled: hashed files that a browser may keep for ever, and nothing inlined that the page's policy forbids.
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vite';

export default defineConfig({
  root: fileURLToPath(new URL('.', import.meta.url)),
  base: '/',
  build: {
    outDir: fileURLToPath(new URL('../dist/console', import.meta.url)),
    emptyOutDir: true,
    target: 'es2023',
    // `data:` URLs would need a hole in the content security policy.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
  },
  server: { proxy: { '/homechef.webhook.v1': 'http://127.0.0.1:8080', '/console': 'http://127.0.0.1:8080' } },
});
