// Many WebSockets in a process of their own: how long after its change each update arrives.
import { once } from 'node:events';
import { WebSocket } from 'ws';

export type WatchersJob =
  | {
      readonly type: 'open';
      readonly url: string;
      readonly tokens: readonly string[];
      readonly each: number;
      readonly sleepers: number;
    }
  | { readonly type: 'report' }
  | { readonly type: 'close' };

export interface WatchersReport {
  readonly updates: number;
  readonly repeats: number;
  readonly gaps: number;
  readonly closed: number;
  /** Milliseconds from the database's time of the change, which is before its commit, to the arrival; at most so many. */
  readonly latenciesMs: readonly number[];
}

/** A handshake costs both sides a millisecond: more at once would only wait in the listener's queue. */
const OPENED_AT_ONCE = 50;
const MAX_LATENCIES = 200_000;

const sockets: WebSocket[] = [];
let seen = new Set<string>();
let updates = 0;
let repeats = 0;
let gaps = 0;
let closed = 0;
let latenciesMs: number[] = [];

async function open(job: Extract<WatchersJob, { type: 'open' }>): Promise<void> {
  const tokens = job.tokens.flatMap((token) => Array<string>(job.each).fill(token));
  for (let n = 0; n < tokens.length; n += OPENED_AT_ONCE) {
    await Promise.all(tokens.slice(n, n + OPENED_AT_ONCE).map((token, index) => openOne(job.url, token, n + index)));
  }
  // They connect, and then never read again.
  for (const socket of sockets.slice(0, job.sleepers)) socket.pause();
}

async function openOne(url: string, token: string, number: number): Promise<void> {
  const socket = new WebSocket(url, ['homechef.v1', `bearer.${token}`], { perMessageDeflate: false });
  sockets.push(socket);
  socket.on('message', (data: Buffer) => take(data.toString(), number));
  socket.on('close', () => (closed += 1));
  await once(socket, 'open');
}

// Parsing thirty thousand messages a second would measure this process: two fields are cut out.
function take(text: string, number: number): void {
  if (text.startsWith('{"type":"gap"')) gaps += 1;
  if (!text.startsWith('{"type":"webhook_')) return;
  updates += 1;
  const at = text.indexOf('"cursor":"') + 10;
  const cursor = text.slice(at, text.indexOf('"', at));
  if (latenciesMs.length < MAX_LATENCIES) {
    latenciesMs.push(performance.timeOrigin + performance.now() - Number(cursor.slice(0, 16)) / 1000);
  }
  const key = `${number} ${cursor}`;
  if (seen.has(key)) repeats += 1;
  else if (seen.size < 1_000_000) seen.add(key);
}

async function answer(job: WatchersJob): Promise<WatchersReport> {
  if (job.type === 'open') await open(job);
  if (job.type === 'close') for (const socket of sockets.splice(0)) socket.terminate();
  const report = { updates, repeats, gaps, closed, latenciesMs };
  [updates, repeats, gaps, closed] = [0, 0, 0, 0];
  latenciesMs = [];
  seen = new Set();
  return report;
}

process.on('message', (job: WatchersJob) => {
  answer(job).then(
    (report) => process.send?.(report),
    (error: unknown) => {
      console.error(error);
      process.exit(1);
    },
  );
});
process.send?.('ready');
