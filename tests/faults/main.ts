// `npm run faults [-- F5 isolation]`, `npm run faults:ci`: plays the faults one by one and exits non-zero when a criterion was missed.
import { readdir } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import type { FaultCase } from './case.ts';
import { World } from './world.ts';

const { values: flags, positionals } = parseArgs({
  allowPositionals: true,
  options: { ci: { type: 'boolean', default: false }, parallel: { type: 'string', default: '1' }, scale: { type: 'string' } },
});

/** CI plays a twentieth of the long cases. */
const scale = Number(flags.scale ?? (flags.ci ? 0.05 : 1));
const all = await loadCases();
const isNamed = ({ id }: FaultCase): boolean => positionals.some((name) => id === name || id.startsWith(`${name}-`));
const wanted = all.filter((item) => (positionals.length > 0 ? isNamed(item) : !flags.ci || item.ci));
if (wanted.length === 0) throw new Error(`there is no such fault; there are ${all.map((item) => item.id).join(' ')}`);
let passed = 0;
let failed = 0;
// Most of a case is waiting for leases to run out, and each has stores and processes of its own.
await playAll(
  wanted.filter((item) => item.isAlone !== true),
  Number(flags.parallel),
);
await playAll(
  wanted.filter((item) => item.isAlone === true),
  1,
);
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed > 0 ? 1 : 0);

async function playAll(items: readonly FaultCase[], atOnce: number): Promise<void> {
  const left = [...items];
  await Promise.all(
    Array.from({ length: atOnce }, async () => {
      for (let item = left.shift(); item !== undefined; item = left.shift()) {
        const missing = (await item.needs?.()) ?? null;
        if (missing !== null) console.log(`skip ${item.id} ${item.title}: ${missing}`);
        else if (await play(item)) passed += 1;
        else failed += 1;
      }
    }),
  );
}

async function play(item: FaultCase): Promise<boolean> {
  const startedAt = performance.now();
  const lines: string[] = [];
  let holdsAll = true;
  const world = await World.create(item.env);
  try {
    if (item.startsProcesses !== false) await world.startProcesses();
    await item.run(
      world,
      (criterion, holds, seen) => {
        holdsAll &&= holds;
        lines.push(`    ${holds ? 'ok    ' : 'MISSED'} ${criterion}: ${seen}`);
      },
      scale,
    );
  } catch (error) {
    holdsAll = false;
    lines.push(`    BROKEN ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
    for (const service of world.running) lines.push(...service.lines.slice(-5).map((line) => `      ${line.slice(0, 400)}`));
  } finally {
    await world.close();
  }
  console.log(
    `${holdsAll ? 'pass' : 'FAIL'} ${item.id} ${item.title} (${((performance.now() - startedAt) / 1000).toFixed(0)} s)`,
  );
  for (const line of lines) console.log(line);
  return holdsAll;
}

async function loadCases(): Promise<FaultCase[]> {
  const directory = fileURLToPath(new URL('./cases', import.meta.url));
  const cases: FaultCase[] = [];
  for (const file of (await readdir(directory)).toSorted()) {
    const loaded = (await import(`./cases/${file}`)) as { cases: readonly FaultCase[] };
    cases.push(...loaded.cases);
  }
  return cases.toSorted((a, b) => a.id.localeCompare(b.id, 'en', { numeric: true }));
}
