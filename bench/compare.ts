// `npm run bench:compare -- --base ../before`: the benchmark of another work tree and of this one, by turns, and the medians of what changed.
import { spawn } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { delimiter, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

/** One run scatters by 7 % on a shared machine: five pairs are what shows a change of 2 %. */
const USUAL_PAIRS = 5;

const { values: flags } = parseArgs({
  options: {
    base: { type: 'string' },
    pairs: { type: 'string', default: String(USUAL_PAIRS) },
    only: { type: 'string', default: 'fan-out' },
    full: { type: 'boolean', default: false },
  },
});
const pairs = Number(flags.pairs);
if (flags.base === undefined || !Number.isInteger(pairs) || pairs < 1) {
  console.error('usage: npm run bench:compare -- --base <work tree> [--pairs 5] [--only <scenario>] [--full]');
  process.exit(2);
}
const base = resolve(flags.base);
const here = fileURLToPath(new URL('..', import.meta.url));

type Figures = Readonly<Record<string, number>>;
type Run = ReadonlyMap<string, Figures>;

/** Throughput counts in requests of the yardstick beside it, cost in processor time; a latency in itself. */
const COMPARED = ['ratio', 'service_us', 'postgres_us', 'redis_us', 'rss_mb', 'p50', 'p95', 'p99'];

const runs: { readonly before: Run; readonly after: Run }[] = [];
for (let pair = 0; pair < pairs; pair += 1) {
  // The first of a pair finds the machine as the one before left it, so the two take turns in going first.
  const isBaseFirst = pair % 2 === 0;
  const first = await run(isBaseFirst ? base : here);
  const second = await run(isBaseFirst ? here : base);
  runs.push(isBaseFirst ? { before: first, after: second } : { before: second, after: first });
  console.log(`pair ${pair + 1} of ${pairs} done`);
}
report();

async function run(tree: string): Promise<Run> {
  const flagsOfRun = flags.full ? [] : ['--quick'];
  const child = spawn(process.execPath, ['bench/main.ts', ...flagsOfRun, '--only', flags.only], {
    cwd: tree,
    stdio: ['ignore', 'ignore', 'inherit'],
    env: { ...process.env, PATH: `${join(tree, 'node_modules/.bin')}${delimiter}${process.env['PATH'] ?? ''}` },
  });
  const code = await new Promise<number | null>((done) => child.once('exit', done));
  if (code !== 0) throw new Error(`the benchmark of ${tree} ended with ${String(code)}`);
  const { rows } = JSON.parse(await readFile(join(tree, 'bench/results.json'), 'utf8')) as {
    rows: readonly { scenario: string; figures: Figures }[];
  };
  return new Map(rows.map(({ scenario, figures }) => [scenario, figures]));
}

function report(): void {
  for (const scenario of runs[0]?.after.keys() ?? []) {
    console.log(`\n${scenario}`);
    for (const name of COMPARED) {
      const found = runs.flatMap(({ before, after }) => {
        const from = before.get(scenario)?.[name];
        const to = after.get(scenario)?.[name];
        return from === undefined || to === undefined ? [] : [{ from, to }];
      });
      if (found.length === 0) continue;
      const change = median(found.map(({ from, to }) => to / from));
      const each = found.map(({ from, to }) => (to / from).toFixed(2)).join(' ');
      const medians = `${round(median(found.map(({ from }) => from)))} -> ${round(median(found.map(({ to }) => to)))}`;
      console.log(`  ${name.padEnd(12)} ${medians.padEnd(20)} median of the pairs ${change.toFixed(3)}   (${each})`);
    }
  }
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const upper = sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
  const lower = sorted[Math.floor((sorted.length - 1) / 2)] ?? Number.NaN;
  return (upper + lower) / 2;
}

function round(value: number): string {
  return value >= 100 ? String(Math.round(value)) : value.toFixed(2);
}
