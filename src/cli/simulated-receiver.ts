// A receiver of the simulation: it has one fault, and counts what a careful developer would notice.
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { pause } from '../lifecycle/pause.ts';

/** What each does to its requests. `none` takes them at once. */
export const faults = {
  none: 'takes every request at once',
  slow: 'takes 200 to 600 ms for each request',
  down: 'is away for six seconds: it closes each connection',
  gone: 'answers 410 after twenty events',
  flaky: 'answers 503 to one request in five, and loses one answer in seven after it took the event',
  reordered: 'sits behind a proxy that holds each request for up to a second, so that they overtake each other',
} as const;
export type Fault = keyof typeof faults;

/** ms after the simulation began. */
const DOWN_FROM_MS = 3000;
const DOWN_UNTIL_MS = 9000;
const GONE_AFTER = 20;
const SLOW_MS = { min: 200, max: 600 };
const HELD_MS = { min: 0, max: 1000 };
const REFUSED_SHARE = 1 / 5;
const LOST_SHARE = 1 / 7;
/** ms. An attempt may begin just before the end of an event's time, and takes some time itself, on a busy machine most. */
const LATE_MS = 2000;

export interface Seen {
  requests: number;
  /** Ids of deliveries that it took. */
  readonly taken: Set<string>;
  /** Requests for what it had taken before. */
  duplicates: number;
  /** Events of an order that it took after a later one of that order. */
  outOfOrder: number;
  /** Events that it took when they were of no use any more. */
  stale: number;
}

export interface SimulatedReceivers {
  /** Where a receiver with this fault is; `world` keeps what is counted apart. */
  url(world: string, fault: Fault): string;
  seenBy(world: string, fault: Fault): Seen;
  close(): Promise<void>;
}

/**
 * @param rankOf the place of an event type in the life of an order
 * @param freshMs for how long an event is of use
 */
export async function startSimulatedReceivers(
  rankOf: ReadonlyMap<string, number>,
  freshMs: number,
): Promise<SimulatedReceivers> {
  const startedAtMs = performance.now();
  const counts = new Map<string, Seen & { readonly rankOfOrder: Map<string, number> }>();
  const seenAt = (path: string) => {
    let seen = counts.get(path);
    if (seen === undefined) {
      seen = { requests: 0, taken: new Set(), duplicates: 0, outOfOrder: 0, stale: 0, rankOfOrder: new Map() };
      counts.set(path, seen);
    }
    return seen;
  };

  function take(path: string, deliveryId: string, body: string, arrivedAtMs: number): void {
    const seen = seenAt(path);
    if (seen.taken.has(deliveryId)) {
      seen.duplicates += 1;
      return;
    }
    seen.taken.add(deliveryId);
    const { event, data, timestamp } = JSON.parse(body) as {
      readonly event: string;
      readonly data: { readonly order_id: string };
      readonly timestamp: string;
    };
    const rank = rankOf.get(event) ?? 0;
    const latest = seen.rankOfOrder.get(data.order_id) ?? -1;
    if (rank < latest) seen.outOfOrder += 1;
    seen.rankOfOrder.set(data.order_id, Math.max(rank, latest));
    if (arrivedAtMs > Date.parse(timestamp) + freshMs + LATE_MS) seen.stale += 1;
  }

  async function receive(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = request.url ?? '';
    const [, , fault] = path.split('/');
    const arrivedAtMs = Date.now();
    const seen = seenAt(path);
    seen.requests += 1;
    const body = await text(request);
    const elapsedMs = performance.now() - startedAtMs;
    if (fault === 'down' && elapsedMs >= DOWN_FROM_MS && elapsedMs < DOWN_UNTIL_MS) return void request.socket.destroy();
    if (fault === 'gone' && seen.taken.size >= GONE_AFTER) return void response.writeHead(410).end();
    if (fault === 'flaky' && Math.random() < REFUSED_SHARE) return void response.writeHead(503).end();
    if (fault === 'slow') await pause(between(SLOW_MS));
    if (fault === 'reordered') await pause(between(HELD_MS));
    take(path, String(request.headers['x-homechef-delivery']), body, arrivedAtMs);
    if (fault === 'flaky' && Math.random() < LOST_SHARE) return void request.socket.destroy();
    response.writeHead(204).end();
  }

  const server = createServer((request, response) => void receive(request, response).catch(() => request.socket.destroy()));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const pathOf = (world: string, fault: Fault): string => `/${world}/${fault}`;
  return {
    url: (world, fault) => `http://127.0.0.1:${(server.address() as AddressInfo).port}${pathOf(world, fault)}`,
    seenBy: (world, fault) => seenAt(pathOf(world, fault)),
    async close() {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
}

function between({ min, max }: { readonly min: number; readonly max: number }): number {
  return min + Math.random() * (max - min);
}
