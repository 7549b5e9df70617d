#!/usr/bin/env node
// `npx homechef-webhooks`: finds a Node that runs TypeScript as it stands, which plain JavaScript must do.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const main = fileURLToPath(new URL('main.ts', import.meta.url));
const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
// Types are stripped without being asked from 22.18 on.
const canRunTypes = major > 22 || (major === 22 && minor >= 18);
const own = fileURLToPath(new URL('../../node_modules/.bin/node', import.meta.url));

if (canRunTypes) {
  process.argv[1] = main;
  await import(main);
} else if (existsSync(own)) {
  const child = spawn(own, [main, ...process.argv.slice(2)], { stdio: 'inherit' });
  // Ctrl-C reaches the child by itself; it decides when to end.
  for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => child.kill(signal));
  child.on('exit', (code, signal) => process.exit(code ?? (signal === null ? 1 : 128)));
} else {
  console.error(
    `Node ${process.versions.node} is too old to run this; run npm install here once, which brings a newer one along.`,
  );
  process.exitCode = 2;
}
