// Receivers that hold on to whatever they are given, each in its own way.
import { once } from 'node:events';
import { createServer as createHttpServer, type Server as HttpServer } from 'node:http';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { freePort } from '../fixtures/ports.ts';
import { deafListener } from './deaf-listener.ts';

export const badKinds = ['slow', 'hang', 'noread', 'drip', 'big', 'silent', 'refuse', 'reset', 'deaf'] as const;
export type BadKind = (typeof badKinds)[number];

/** What each of them does. */
export const badTitles: Readonly<Record<BadKind, string>> = {
  slow: 'answer 200 just before the timeout',
  hang: 'never answer',
  noread: 'accept and never read',
  drip: 'answer a byte a second',
  big: 'answer 64 KiB',
  silent: 'never finish TLS',
  refuse: 'refuse connections',
  reset: 'reset connections',
  deaf: 'never accept connections',
};

const BIG_ANSWER = Buffer.alloc(64 * 1024, 'a');
const DRIP_INTERVAL_MS = 1000;

export interface BadReceiver {
  /** Where its webhooks point; each may add a path. */
  readonly url: string;
  close(): void;
}

/** @param slowMs what a slow one needs for an answer, in milliseconds */
export async function startBadReceiver(kind: BadKind, slowMs: number): Promise<BadReceiver> {
  switch (kind) {
    case 'slow':
      return overHttp((answer) => void setTimeout(answer, slowMs, 'ok'));
    case 'hang':
      return overHttp(() => undefined);
    case 'big':
      return overHttp((answer) => answer(BIG_ANSWER));
    case 'noread':
      return overSockets((socket) => void socket.pause());
    case 'drip':
      return overSockets(drip);
    case 'silent':
      return overSockets((socket) => void socket.resume(), 'https');
    case 'reset':
      return overSockets((socket) => void socket.once('data', () => socket.resetAndDestroy()));
    case 'refuse':
      return { url: `http://127.0.0.1:${await freePort()}/`, close: () => undefined };
    case 'deaf':
      return deafListener();
  }
}

async function overHttp(handle: (answer: (body: string | Buffer) => void) => void): Promise<BadReceiver> {
  const server = createHttpServer((request, response) => {
    request.resume().on('end', () => handle((body) => void response.end(body)));
  });
  const url = await listening(server);
  return {
    url,
    close() {
      server.close();
      server.closeAllConnections();
    },
  };
}

async function overSockets(accept: (socket: Socket) => void, scheme: 'http' | 'https' = 'http'): Promise<BadReceiver> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket)).on('error', () => undefined);
    accept(socket);
  });
  const url = await listening(server);
  return {
    url: url.replace('http:', `${scheme}:`),
    close() {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}

function drip(socket: Socket): void {
  socket.resume();
  socket.write('HTTP/1.1 200 OK\r\nX-Drip: ');
  const timer = setInterval(() => socket.write('a'), DRIP_INTERVAL_MS);
  socket.on('close', () => clearInterval(timer));
}

async function listening(server: Server | HttpServer): Promise<string> {
  server.listen({ port: 0, host: '127.0.0.1', backlog: 4096 });
  await once(server, 'listening');
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
}
