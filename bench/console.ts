// `npm run bench:console`: what each page of the console costs before 1,000,000 deliveries of 10,000 webhooks; ends with 1 where the list opens late.
import { parseArgs } from 'node:util';
import { writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import type { Page } from 'playwright-core';
import { buildReference } from '../console/build-reference.ts';
import { buildConsole } from '../console/build.ts';
import { chromiumPath, launchBrowser, signIn, visit } from '../tests/console/browser.ts';
import { eventually } from '../tests/fixtures/eventually.ts';
import { fillLog, webhookId } from './log-fill.ts';
import { startWorld } from './world.ts';

const { values: flags } = parseArgs({ options: { rows: { type: 'string', default: '1000000' } } });
/** Whom the one-click sign-in makes a developer: the webhooks are this one's. */
const DEVELOPER = 'user123';
/** From the click to the rows on screen; faster than this feels like no wait at all. */
const MAX_OPENING_MS = 300;
/** The median of as many openings: one alone measures whatever else the machine was doing. */
const OPENINGS = 9;
/** How long a page is watched once it shows what it came for, in seconds. */
const WATCHED_SECONDS = 5;
const SUMMED_WITHIN_MS = 600_000;

interface Cost {
  readonly requests: number;
  /** What came over the wire, headers included. */
  readonly kilobytes: number;
  /** From the navigation until the page shows what it came for. */
  readonly shownMs: number;
  /** Of the main thread, in the seconds after that. */
  readonly busyShare: number;
}

/** Runs in the page: clicks the link and resolves to the milliseconds until a frame with rows has been drawn. */
const openList = `new Promise((resolve) => {
  const link = [...document.querySelectorAll('nav a')].find((each) => each.textContent.trim() === 'Deliveries');
  const started = performance.now();
  const look = () => {
    if (document.querySelector('.rows tbody tr') === null) return requestAnimationFrame(look);
    requestAnimationFrame(() => resolve(performance.now() - started));
  };
  link.click();
  look();
})`;

if (chromiumPath === null) {
  console.error('No Chromium found: `apt-get install -y chromium` brings one.');
  process.exit(2);
}
await buildConsole({ force: false });
await buildReference({ force: false });
const world = await startWorld({ env: { ENVIRONMENT: 'development', LOG_LEVEL: 'error' } });
const browser = await launchBrowser();
const openings: Record<string, number> = {};
const costs: Record<string, Cost> = {};
try {
  await fillLog(world.pool, Number(flags.rows), () => {}, DEVELOPER);
  await world.pool.query('vacuum (analyze) deliveries');
  // Until the leader has summed the log up, it competes with what is measured.
  await eventually(
    async () => {
      const { rows } = await world.pool.query<{ isSummed: boolean }>(
        `select days_below > id_floor('delivery', now() - interval '2 days') as "isSummed" from summing`,
      );
      return rows[0]?.isSummed === true;
    },
    { what: 'the sums', deadlineMs: SUMMED_WITHIN_MS },
  );
  for (const role of ['developer', 'operator'] as const) {
    openings[role] = await medianOpening(role);
    console.log(
      `${role}: the list opens in ${Math.round(openings[role])} ms (median of ${OPENINGS}, at most ${MAX_OPENING_MS})`,
    );
    const { rows } = await world.pool.query<{ id: string }>('select id from deliveries order by id desc limit 1');
    for (const [name, path] of pages(rows[0]?.id ?? '')) {
      const cost = await costOf(role, path);
      costs[`${role} ${name}`] = cost;
      const figures = `${cost.requests} requests  ${cost.kilobytes.toFixed(0)} kB  ${cost.shownMs.toFixed(0)} ms`;
      console.log(`${role.padEnd(10)} ${name.padEnd(12)} ${figures}  main thread ${(cost.busyShare * 100).toFixed(1)} %`);
    }
  }
} finally {
  await browser.close();
  await world.stop();
}
const file = fileURLToPath(new URL('./console-results.json', import.meta.url));
await writeFile(file, JSON.stringify({ date: new Date().toISOString(), openings, costs }, null, 2));
process.exitCode = Object.values(openings).every((ms) => ms <= MAX_OPENING_MS) ? 0 : 1;

function pages(deliveryId: string): readonly (readonly [string, string])[] {
  return [
    ['overview', '/'],
    ['live', '/live'],
    ['webhooks', '/webhooks'],
    ['webhook', `/webhooks/${webhookId(1)}`],
    ['deliveries', '/deliveries'],
    ['failed', '/deliveries?status=failed'],
    ['delivery', `/deliveries/${deliveryId}`],
    ['event types', '/event-types'],
    ['verify', '/verify'],
  ];
}

async function medianOpening(role: 'developer' | 'operator'): Promise<number> {
  const { page, context } = await visit(browser, world.httpUrl);
  await signIn(page, role, '/verify');
  const times: number[] = [];
  for (let opening = 0; opening < OPENINGS; opening += 1) {
    await page.getByRole('link', { name: 'Verify', exact: true }).click();
    await page.getByText('How requests are signed').waitFor();
    // Measured in the page itself, so that the driver's own round trips do not count.
    times.push(await page.evaluate<number>(openList));
  }
  await context.close();
  return times.toSorted((a, b) => a - b)[Math.floor(OPENINGS / 2)] ?? Infinity;
}

/** A tab of its own that has nothing cached, as on the first visit of the day. */
async function costOf(role: 'developer' | 'operator', path: string): Promise<Cost> {
  const { page, context } = await visit(browser, world.httpUrl);
  await signIn(page, role, '/verify');
  const session = await context.newCDPSession(page);
  await session.send('Network.enable');
  await session.send('Network.setCacheDisabled', { cacheDisabled: true });
  await session.send('Performance.enable');
  let requests = 0;
  let bytes = 0;
  session.on('Network.requestWillBeSent', () => (requests += 1));
  session.on('Network.loadingFinished', ({ encodedDataLength }) => (bytes += encodedDataLength));
  await page.goto(path);
  await shown(page);
  const shownMs = await page.evaluate<number>('performance.now()');
  const before = await taskSeconds();
  await page.waitForTimeout(WATCHED_SECONDS * 1000);
  const busyShare = ((await taskSeconds()) - before) / WATCHED_SECONDS;
  await context.close();
  return { requests, kilobytes: bytes / 1000, shownMs, busyShare };

  async function taskSeconds(): Promise<number> {
    const { metrics } = await session.send('Performance.getMetrics');
    return metrics.find(({ name }) => name === 'TaskDuration')?.value ?? 0;
  }
}

/** The heading stands and nothing says that it still loads. */
async function shown(page: Page): Promise<void> {
  await page.locator('main h1').first().waitFor();
  await eventually(async () => (await page.locator('main .loading').count()) === 0, { what: 'the content' });
}
