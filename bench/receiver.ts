// A cheap receiver on a raw socket, as a process of its own: counts what arrives, and how long after it was published.
import { createServer, type Socket } from 'node:net';
import type { AddressInfo } from 'node:net';

const OK = Buffer.from('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
const ID_HEADER = 'webhook-id: ';
const ID_LENGTH = 'delivery_'.length + 26;
const LENGTH_HEADER = 'content-length: ';
/** How long /delayed takes to respond, in milliseconds. */
const DELAYED_MS = 5;

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

function take(request: string, bodyAt: number): 'answer' | 'later' | 'hang' {
  requests += 1;
  const idAt = request.indexOf(ID_HEADER) + ID_HEADER.length;
  const id = request.slice(idAt, idAt + ID_LENGTH);
  if (seen.has(id)) repeats += 1;
  seen.add(id);
  if (request.startsWith('POST /hang')) return 'hang';
  if (request.startsWith('POST /delayed')) return 'later';
  const sentAt = request.indexOf('"sent":', bodyAt);
  if (sentAt >= 0) {
    const sentMs = Number.parseFloat(request.slice(sentAt + 7, sentAt + 27));
    (latencies[request.slice(6, request.indexOf('/', 6))] ??= []).push(performance.timeOrigin + performance.now() - sentMs);
  }
  return 'answer';
}

/** Takes out the whole requests at the beginning; answers what is left. Senders here write header names in lower case. */
function readRequests(text: string, socket: Socket): string {
  let rest = text;
  for (;;) {
    const headEnd = rest.indexOf('\r\n\r\n');
    if (headEnd < 0) return rest;
    const lengthAt = rest.indexOf(LENGTH_HEADER) + LENGTH_HEADER.length;
    const end = headEnd + 4 + Number.parseInt(rest.slice(lengthAt, lengthAt + 10), 10);
    if (!(end > headEnd + 4)) throw new Error('a request without a length');
    if (rest.length < end) return rest;
    const response = take(rest, headEnd + 4);
    if (response === 'answer') socket.write(OK);
    else if (response === 'later') setTimeout(() => socket.write(OK), DELAYED_MS);
    else hanging.add(socket);
    rest = rest.length === end ? '' : rest.slice(end);
  }
}

const server = createServer((socket) => {
  socket.setNoDelay(true);
  socket.on('error', () => undefined);
  socket.on('close', () => hanging.delete(socket));
  let rest = '';
  socket.on('data', (chunk: Buffer) => {
    // Latin-1: a character a byte, so that lengths in bytes are lengths of the text.
    rest = readRequests(rest + chunk.toString('latin1'), socket);
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
