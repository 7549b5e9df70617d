// A cheap receiver on a raw socket, as a process of its own: counts what arrives, and how long after it was published.
import { createServer, type Socket } from 'node:net';
import type { AddressInfo } from 'node:net';

const OK = Buffer.from('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
const HEAD_END = Buffer.from('\r\n\r\n');

export interface ReceiverReport {
  readonly requests: number;
  /** Requests whose webhook-id had been seen before. */
  readonly repeats: number;
  /** Milliseconds from the publisher's call to the arrival of the request, by path prefix. */
  readonly latenciesMs: Readonly<Record<string, readonly number[]>>;
}

let requests = 0;
let repeats = 0;
let seen = new Set<string>();
let latencies: Record<string, number[]> = {};
const hanging = new Set<Socket>();

function reset(): void {
  requests = 0;
  repeats = 0;
  seen = new Set();
  latencies = {};
}

function take(head: string, body: string): 'answer' | 'hang' {
  requests += 1;
  const path = head.slice(5, head.indexOf(' ', 5));
  const idAt = head.toLowerCase().indexOf('webhook-id: ') + 12;
  const id = head.slice(idAt, idAt + 35);
  if (seen.has(id)) repeats += 1;
  seen.add(id);
  if (path.startsWith('/hang')) return 'hang';
  const sentAt = body.indexOf('"sent":');
  if (sentAt >= 0) {
    const sentMs = Number.parseFloat(body.slice(sentAt + 7, sentAt + 27));
    (latencies[path.split('/', 2)[1] ?? ''] ??= []).push(performance.timeOrigin + performance.now() - sentMs);
  }
  return 'answer';
}

const server = createServer((socket) => {
  socket.setNoDelay(true);
  socket.on('error', () => undefined);
  socket.on('close', () => hanging.delete(socket));
  let pending: Buffer = Buffer.alloc(0);
  socket.on('data', (chunk: Buffer) => {
    pending = pending.length === 0 ? chunk : Buffer.concat([pending, chunk]);
    for (;;) {
      const headEnd = pending.indexOf(HEAD_END);
      if (headEnd < 0) return;
      const head = pending.toString('latin1', 0, headEnd);
      const length = Number(/content-length: (\d+)/i.exec(head)?.[1] ?? 0);
      const end = headEnd + 4 + length;
      if (pending.length < end) return;
      const body = pending.toString('latin1', headEnd + 4, end);
      pending = pending.subarray(end);
      if (take(head, body) === 'answer') socket.write(OK);
      else hanging.add(socket);
    }
  });
});

process.on('message', (message: 'reset' | 'report' | 'count') => {
  if (message === 'reset') reset();
  const report: ReceiverReport = { requests, repeats, latenciesMs: message === 'report' ? latencies : {} };
  process.send?.(report);
});
// The parent's end of the channel is the reason to live.
process.on('disconnect', () => process.exit(0));
server.listen(0, '127.0.0.1', () => process.send?.({ port: (server.address() as AddressInfo).port }));
