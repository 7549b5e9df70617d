// The sink: a raw-socket receiver that logs each request before it answers, and behaves as its path says.
import { once } from 'node:events';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { createHash } from 'node:crypto';

export interface Arrival {
  /** Milliseconds since 1970, by this machine's true clock. */
  readonly atMs: number;
  readonly path: string;
  /** `webhook-id`: the delivery. */
  readonly deliveryId: string;
  readonly attempt: number;
  readonly timestampSeconds: number;
  /** `webhook-signature`: one a secret, separated by spaces. */
  readonly signatures: string;
  readonly bodySha256: string;
  readonly body: string;
  /** What was answered; 0 when the connection was left hanging or cut. */
  status: number;
}

export interface Sink {
  readonly url: string;
  readonly arrivals: readonly Arrival[];
  /** Bytes written to sockets in answer to `/big`. */
  readonly bytesSent: () => number;
  /** Changes how a path answers from now on, whatever its name says. */
  behave(path: string, behaviour: Behaviour): void;
  close(): Promise<void>;
}

/** Status codes to answer one after the other, the last for ever; or a way of not answering properly. */
export type Behaviour =
  | {
      readonly statuses: readonly number[];
      readonly delayMs?: number;
      readonly headers?: string;
      /** Answers 500 to the first try of each delivery. */
      readonly refusesFirstTries?: true;
    }
  | { readonly kind: 'hang' | 'drip' | 'informational' | 'cut-headers' | 'cut-body' | 'big' }
  | { readonly raw: string };

const OK: Behaviour = { statuses: [200] };

export async function startSink(): Promise<Sink> {
  const arrivals: Arrival[] = [];
  const behaviours = new Map<string, Behaviour>();
  const served = new Map<string, number>();
  const sockets = new Set<Socket>();
  let sentBytes = 0;
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    socket.on('error', () => undefined);
    let pending: Buffer = Buffer.alloc(0);
    socket.on('data', (chunk: Buffer) => {
      pending = Buffer.concat([pending, chunk]);
      for (;;) {
        const headEnd = pending.indexOf('\r\n\r\n');
        if (headEnd < 0) return;
        const head = pending.subarray(0, headEnd).toString('latin1');
        const end = headEnd + 4 + Number(/^content-length: (\d+)/im.exec(head)?.[1] ?? 0);
        if (pending.length < end) return;
        const body = pending.subarray(headEnd + 4, end);
        pending = pending.subarray(end);
        answer(socket, take(head, body));
      }
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');

  function take(head: string, body: Buffer): Arrival {
    const header = (name: string): string => new RegExp(`^${name}: (.*)$`, 'im').exec(head)?.[1]?.trim() ?? '';
    const arrival: Arrival = {
      atMs: Date.now(),
      path: head.slice(head.indexOf(' ') + 1, head.indexOf(' ', 6)),
      deliveryId: header('webhook-id'),
      attempt: Number(header('x-homechef-attempt')),
      timestampSeconds: Number(header('webhook-timestamp')),
      signatures: header('webhook-signature'),
      bodySha256: createHash('sha256').update(body).digest('hex'),
      body: body.toString(),
      status: 0,
    };
    arrivals.push(arrival);
    return arrival;
  }

  function answer(socket: Socket, arrival: Arrival): void {
    const behaviour = behaviours.get(arrival.path) ?? OK;
    if ('raw' in behaviour) return void socket.end(Buffer.from(behaviour.raw, 'latin1'));
    if ('kind' in behaviour) return misbehave(socket, behaviour.kind, arrival);
    const count = served.get(arrival.path) ?? 0;
    served.set(arrival.path, count + 1);
    const isRefused = behaviour.refusesFirstTries === true && arrival.attempt === 1;
    const status = isRefused ? 500 : (behaviour.statuses[Math.min(count, behaviour.statuses.length - 1)] ?? 200);
    const reply = (): void => {
      if (socket.destroyed) return;
      arrival.status = status;
      socket.write(`HTTP/1.1 ${status} Status\r\n${behaviour.headers ?? ''}Content-Length: 2\r\n\r\nok`);
    };
    if (behaviour.delayMs === undefined) reply();
    else setTimeout(reply, behaviour.delayMs);
  }

  function misbehave(socket: Socket, kind: Extract<Behaviour, { kind: string }>['kind'], arrival: Arrival): void {
    switch (kind) {
      case 'hang':
        return;
      case 'drip':
        socket.write('HTTP/1.1 200 OK\r\n');
        return dripping(socket, 'X-Drip: 1\r\n', 200);
      case 'informational':
        return dripping(socket, 'HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n', 50);
      case 'cut-headers':
        return void socket.end('HTTP/1.1 200 OK\r\nContent-Le');
      case 'cut-body':
        arrival.status = 200;
        return void socket.end('HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nonly this');
      case 'big':
        arrival.status = 200;
        socket.write('HTTP/1.1 200 OK\r\nContent-Length: 10737418240\r\n\r\n');
        return flood(socket);
    }
  }

  function dripping(socket: Socket, text: string, everyMs: number): void {
    const timer = setInterval(() => (socket.destroyed ? clearInterval(timer) : socket.write(text)), everyMs);
  }

  function flood(socket: Socket): void {
    const chunk = Buffer.alloc(65_536, 'x');
    const more = (): void => {
      while (!socket.destroyed) {
        sentBytes += chunk.length;
        if (!socket.write(chunk)) return void socket.once('drain', more);
      }
    };
    more();
  }

  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    arrivals,
    bytesSent: () => sentBytes,
    behave(path, behaviour) {
      served.delete(path);
      behaviours.set(path, behaviour);
    },
    async close() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}
