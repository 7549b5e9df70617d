// A receiver of bare sockets, which can answer with anything at all, or not.
import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';

export interface RawRequest {
  /** Everything up to the blank line. */
  readonly head: string;
  readonly body: Buffer;
  /** Requests on this connection so far, this one included. */
  readonly number: number;
  readonly socket: Socket;
}

export interface RawReceiver {
  readonly port: number;
  readonly url: string;
  readonly requests: RawRequest[];
  readonly connections: () => number;
  close(): Promise<void>;
}

/** Calls `answer` for each complete request. */
export async function rawReceiver(
  answer: (socket: Socket, request: RawRequest) => void,
  host = '127.0.0.1',
  port = 0,
): Promise<RawReceiver> {
  const requests: RawRequest[] = [];
  let connections = 0;
  const server = createServer((socket) => {
    connections += 1;
    readRequests(socket, (request) => {
      requests.push(request);
      answer(socket, request);
    });
  });
  return listening(server, { host, port }, requests, () => connections);
}

/** Does as it likes with each connection. */
export async function socketReceiver(accept: (socket: Socket) => void, host = '127.0.0.1'): Promise<RawReceiver> {
  let connections = 0;
  const server = createServer((socket) => {
    connections += 1;
    socket.on('error', () => {});
    accept(socket);
  });
  return listening(server, { host, port: 0 }, [], () => connections);
}

export function readRequests(socket: Socket, onRequest: (request: RawRequest) => void): void {
  let buffered: Buffer = Buffer.alloc(0);
  let number = 0;
  socket.on('error', () => {});
  socket.on('data', (chunk: Buffer) => {
    buffered = Buffer.concat([buffered, chunk]);
    for (;;) {
      const end = buffered.indexOf('\r\n\r\n');
      if (end < 0) return;
      const head = buffered.subarray(0, end).toString('latin1');
      const length = Number(/^content-length: (\d+)$/im.exec(head)?.[1] ?? 0);
      if (buffered.length < end + 4 + length) return;
      number += 1;
      const body = Buffer.from(buffered.subarray(end + 4, end + 4 + length));
      buffered = buffered.subarray(end + 4 + length);
      onRequest({ head, body, number, socket });
    }
  });
}

async function listening(
  server: Server,
  at: { readonly host: string; readonly port: number },
  requests: RawRequest[],
  connections: () => number,
): Promise<RawReceiver> {
  const sockets = new Set<Socket>();
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  server.listen(at);
  await once(server, 'listening');
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  return {
    port,
    url: `http://127.0.0.1:${port}/hook`,
    requests,
    connections,
    async close() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}
